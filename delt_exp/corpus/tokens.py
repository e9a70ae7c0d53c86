"""A corpus as token ids in memory-mapped shards: encoded once, then read at any position.

A tokens folder holds `tokens-00000.bin` ... (flat uint16, or uint32 for large vocabularies), `offsets.npy` [N+1] (where
each document starts in the concatenation of all shards), `ids.npy` [N], the runs of tokens that are not predicted
(`prompts`: the prompts of pairs; `turns`: whatever an assistant did not write in a conversation) and `meta.json`.
Whoever reads documents puts `begin_id` before and `eos_id` after each. A document never spans two shards. Where every
document is a preference, these are the chosen sides, and `rejected/` is a tokens folder of the rejected ones.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.token_runs import TokenRuns, false_runs
from delt_exp.dataset.base import Part
from delt_exp.files import DescribedFolder, digest, write_json
from delt_exp.progress import track
from delt_exp.rows.candidates import Candidates
from delt_exp.tokenizer.base import Tokenizer

BATCH_DOCUMENTS, BATCH_CHARS = 1024, 1 << 21  # whichever is reached first; an encoded batch takes about 30 bytes a char
FORMAT = 2  # bump when the same corpus and tokenizer are written differently
SHARD_TOKENS = 1 << 28


RUNS = ("prompts", "turns")


class _Encoded(NamedTuple):
    """Token ids of each document, and for some of them which are predicted: row -> (name in RUNS, flags)."""

    ids: list[list[int]]
    flags: dict[int, tuple[str, NDArray[np.bool_]]]


class _ShardWriter:
    """Appends documents to shard files and remembers where each one starts."""

    def __init__(self, folder: Path, dtype: np.dtype[Any]) -> None:
        self.folder, self.dtype = folder, dtype
        self.lengths: list[NDArray[np.int64]] = []
        self.runs: dict[str, list[NDArray[np.int64]]] = {name: [] for name in RUNS}
        self.shard_tokens: list[int] = []

    def write(self, encoded: _Encoded) -> int:
        lengths = np.fromiter(map(len, encoded.ids), np.int64, len(encoded.ids))
        flat = np.fromiter(chain.from_iterable(encoded.ids), self.dtype, int(lengths.sum()))
        starts = np.cumsum(lengths) - lengths + sum(self.shard_tokens)
        for row, (name, flags) in encoded.flags.items():
            self.runs[name].append(false_runs(flags) + np.array([starts[row], 0]))
        if not self.shard_tokens or self.shard_tokens[-1] >= SHARD_TOKENS:
            self.shard_tokens.append(0)
        with (self.folder / f"tokens-{len(self.shard_tokens) - 1:05d}.bin").open("ab") as file:
            file.write(flat.tobytes())
        self.shard_tokens[-1] += len(flat)
        self.lengths.append(lengths)
        return len(lengths)


def write_tokens(corpus: Corpus, tokenizer: Tokenizer, folder: Path) -> None:
    """Encode a corpus as a stream; memory does not grow with its size beyond 8 bytes per document and 16 per run."""
    key = [corpus.digest, tokenizer.digest, FORMAT]
    _write_side(corpus, corpus.read(), tokenizer, folder, digest(*key))
    if corpus.num_preferences == len(corpus):
        (folder / "rejected").mkdir()
        _write_side(corpus, corpus.read_rejected(), tokenizer, folder / "rejected", digest(*key, "rejected"))


def _write_side(
    corpus: Corpus, documents: Iterator[tuple[Part, ...]], tokenizer: Tokenizer, folder: Path, digest_of_side: str
) -> None:
    dtype = np.dtype(np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32)
    writer = _ShardWriter(folder, dtype)
    # Rust encodes one batch (without the interpreter lock) while this thread writes the one before.
    with ThreadPoolExecutor(1) as pool, track("tokenising", len(corpus), "documents") as task:
        pending = None
        for batch in _batches(documents):
            current = pool.submit(_encode, tokenizer, batch)
            if pending is not None:
                task.advance(writer.write(pending.result()))
            pending = current
        if pending is not None:
            task.advance(writer.write(pending.result()))
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(writer.lengths))])
    np.save(folder / "offsets.npy", offsets.astype(np.int64))
    np.save(folder / "ids.npy", corpus.ids)
    for name, runs in writer.runs.items():
        TokenRuns.of(runs).save(folder, name)
    meta = {
        "documents": len(corpus),
        "tokens": int(offsets[-1]),
        "shard_tokens": writer.shard_tokens,
        "dtype": dtype.name,
        "begin_id": tokenizer.begin_id,
        "eos_id": tokenizer.eos_id,
        "vocab_size": tokenizer.vocab_size,
        "tokenizer": tokenizer.digest,
        "digest": digest_of_side,
    }
    write_json(folder / "meta.json", meta)


def _batches(documents: Iterator[tuple[Part, ...]]) -> Iterator[list[tuple[Part, ...]]]:
    batch: list[tuple[Part, ...]] = []
    chars = 0
    for parts in documents:
        batch.append(parts)
        chars += sum(len(part.text) for part in parts)
        if len(batch) == BATCH_DOCUMENTS or chars >= BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def _encode(tokenizer: Tokenizer, batch: list[tuple[Part, ...]]) -> _Encoded:
    if all(len(parts) == 1 and parts[0].role == "text" for parts in batch):
        return _Encoded(tokenizer.encode([parts[0].text for parts in batch]), {})
    encoded = tokenizer.encode_spans([tokenizer.spans(parts) for parts in batch])
    names = ["prompts" if parts[-1].role == "text" else "turns" for parts in batch]
    flags = {row: (names[row], flags) for row, (_, flags) in enumerate(encoded) if not flags.all()}
    return _Encoded([ids for ids, _ in encoded], flags)


@dataclass(frozen=True)
class Tokens(DescribedFolder):
    """Read-only view of a tokens folder; row i is document i of the corpus it was made from.

    meta: counts, dtype, begin_id, eos_id and vocab_size. digest: of corpus and tokenizer; equal ones mean equal token
    ids.
    """

    def __len__(self) -> int:
        return int(self.meta["documents"])

    @property
    def begin_id(self) -> int:
        """Id that stands before every document; it is read and never predicted."""
        return int(self.meta["begin_id"])

    @property
    def eos_id(self) -> int:
        """Id that stands after every document, and is predicted."""
        return int(self.meta["eos_id"])

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """[N+1] start of each document in the concatenation of all shards."""
        offsets: NDArray[np.int64] = np.load(self.folder / "offsets.npy", mmap_mode="r", allow_pickle=False)
        return offsets

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """[N] tokens of each document, prompt included."""
        return np.diff(self.offsets)

    @cached_property
    def ids(self) -> NDArray[np.uint64]:
        """[N] content hashes of the documents."""
        ids: NDArray[np.uint64] = np.load(self.folder / "ids.npy", mmap_mode="r", allow_pickle=False)
        return ids

    @cached_property
    def _runs(self) -> dict[str, TokenRuns]:
        return {name: TokenRuns.load(self.folder, name) for name in RUNS}

    @cached_property
    def has_unpredicted(self) -> bool:
        """Whether there is a prompt or another turn, a token that is only read."""
        return any(len(runs.starts) for runs in self._runs.values())

    @cached_property
    def rejected(self) -> "Tokens | None":
        """The same documents with the rejected answer in place of the chosen one; None unless all have one."""
        folder = self.folder / "rejected"
        return Tokens(folder) if folder.is_dir() else None

    @cached_property
    def answer_starts(self) -> NDArray[np.int64]:
        """[N] position inside each document at which its last answer begins: that of the last predicted tokens."""
        ends = [runs.last_end(np.asarray(self.offsets[1:])) for runs in self._runs.values()]
        return np.maximum(np.maximum(*ends) - self.offsets[:-1], 0)

    def answer_start(self, row: int) -> int:
        """Return the position inside document `row` at which its last answer begins.

        Of a preference that answer alone counts, on both sides; turns before it are the same on both.
        """
        return int(self.answer_starts[row])

    def predicted_before(self, positions: NDArray[np.int64], *, completion_only: bool = True) -> NDArray[np.int64]:
        """Return how many of the tokens before each position are predicted.

        positions: as in `offsets`. completion_only: the prompts of pairs are not; turns of a conversation that no
        assistant wrote never are.
        """
        unpredicted = self._runs["turns"].before(positions)
        return positions - unpredicted - (self._runs["prompts"].before(positions) if completion_only else 0)

    def predicted(
        self, row: int, start: int = 0, stop: int | None = None, *, completion_only: bool = True
    ) -> NDArray[np.bool_]:
        """Return which tokens of `document(row, start, stop)` are predicted."""
        first, end = int(self.offsets[row]), int(self.offsets[row + 1])
        last = end if stop is None else min(first + stop, end)
        positions = np.arange(first + start, max(last, first + start) + 1)
        return np.diff(self.predicted_before(positions, completion_only=completion_only)).astype(bool)

    @cached_property
    def num_predicted(self) -> NDArray[np.int64]:
        """[N] tokens of each document that scores and evaluation count: all but those of prompts and other turns."""
        return np.diff(self.predicted_before(self.offsets))

    @cached_property
    def _shards(self) -> list[Any]:
        names = [self.folder / f"tokens-{i:05d}.bin" for i in range(len(self.meta["shard_tokens"]))]
        return [np.memmap(name, self.meta["dtype"], "r") if name.stat().st_size else np.empty(0) for name in names]

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum([0, *self.meta["shard_tokens"]])

    def document(self, row: int, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return the token ids of document `row`, or of its positions [start, stop)."""
        first, end = int(self.offsets[row]), int(self.offsets[row + 1])
        shard = int(np.searchsorted(self._starts, first, side="right")) - 1
        base = int(self._starts[min(shard, len(self._shards) - 1)])
        last = end if stop is None else min(first + stop, end)
        ids: NDArray[Any] = self._shards[min(shard, len(self._shards) - 1)][first + start - base : last - base]
        return ids


@dataclass(frozen=True)
class TokenizedCorpus:
    """One corpus as texts and as token ids; row i of one is row i of the other."""

    corpus: Corpus
    tokens: Tokens

    def __len__(self) -> int:
        return len(self.corpus)

    def candidates(self, goodness: NDArray[np.float32]) -> Candidates:
        """Return all documents as selectors see them, with their goodness [N], sources and tokens."""
        return replace(self.corpus.candidates(goodness), num_tokens=self.tokens.lengths)


IGNORED = -100  # label of a position that is not predicted, as in torch.nn.functional.cross_entropy
