"""A corpus as token ids in memory-mapped shards: encoded once, then read at any position.

A tokens folder holds `tokens-00000.bin` ... (flat uint16, or uint32 for large vocabularies), `offsets.npy` [N+1] (where
each document starts in the concatenation of all shards), `prompt_tokens.npy` and `ids.npy` [N], and `meta.json`.
Documents carry no special tokens; whoever reads them adds separators. A document never spans two shards.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus import Corpus
from delt_exp.files import digest, read_json, write_json
from delt_exp.progress import track
from delt_exp.tokenizer.base import Tokenizer

BATCH_DOCUMENTS, BATCH_CHARS = 1024, 1 << 21  # whichever is reached first; an encoded batch takes about 30 bytes a char
FORMAT = 1  # bump when the same corpus and tokenizer are written differently
SHARD_TOKENS = 1 << 28


class _ShardWriter:
    """Appends documents to shard files and remembers where each one starts."""

    def __init__(self, folder: Path, dtype: np.dtype[Any]) -> None:
        self.folder, self.dtype = folder, dtype
        self.lengths: list[NDArray[np.int64]] = []
        self.prompts: list[NDArray[np.int32]] = []
        self.shard_tokens: list[int] = []

    def write(self, prompts: list[list[int]] | None, texts: list[list[int]]) -> int:
        prompt_lengths = np.fromiter((len(p) for p in prompts), np.int32) if prompts else np.zeros(len(texts), np.int32)
        parts = [ids for pair in zip(prompts, texts, strict=True) for ids in pair] if prompts else texts
        lengths = np.fromiter((len(t) for t in texts), np.int64, len(texts)) + prompt_lengths
        flat = np.fromiter(chain.from_iterable(parts), self.dtype, int(lengths.sum()))
        if not self.shard_tokens or self.shard_tokens[-1] >= SHARD_TOKENS:
            self.shard_tokens.append(0)
        with (self.folder / f"tokens-{len(self.shard_tokens) - 1:05d}.bin").open("ab") as file:
            file.write(flat.tobytes())
        self.shard_tokens[-1] += len(flat)
        self.lengths.append(lengths)
        self.prompts.append(prompt_lengths)
        return len(texts)


def write_tokens(corpus: Corpus, tokenizer: Tokenizer, folder: Path) -> None:
    """Encode a corpus as a stream; memory does not grow with its size beyond 12 bytes a document.

    Prompt and text are encoded separately, so that the boundary between them is a token boundary.
    """
    dtype = np.dtype(np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32)
    writer = _ShardWriter(folder, dtype)
    # Rust encodes one batch (without the interpreter lock) while this thread writes the one before.
    with ThreadPoolExecutor(1) as pool, track("tokenising", len(corpus), "documents") as task:
        pending = None
        for batch in _batches(corpus.read()):
            current = pool.submit(_encode, tokenizer, batch)
            if pending is not None:
                task.advance(writer.write(*pending.result()))
            pending = current
        if pending is not None:
            task.advance(writer.write(*pending.result()))
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(writer.lengths))])
    np.save(folder / "offsets.npy", offsets.astype(np.int64))
    np.save(folder / "prompt_tokens.npy", np.concatenate(writer.prompts))
    np.save(folder / "ids.npy", corpus.ids)
    meta = {
        "documents": len(corpus),
        "tokens": int(offsets[-1]),
        "shard_tokens": writer.shard_tokens,
        "dtype": dtype.name,
        "eos_id": tokenizer.eos_id,
        "vocab_size": tokenizer.vocab_size,
        "tokenizer": tokenizer.digest,
        "digest": digest(corpus.digest, tokenizer.digest),
    }
    write_json(folder / "meta.json", meta)


def _batches(pairs: Iterator[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    batch: list[tuple[str, str]] = []
    chars = 0
    for prompt, text in pairs:
        batch.append((prompt, text))
        chars += len(prompt) + len(text)
        if len(batch) == BATCH_DOCUMENTS or chars >= BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def _encode(tokenizer: Tokenizer, batch: list[tuple[str, str]]) -> tuple[list[list[int]] | None, list[list[int]]]:
    prompts = tokenizer.encode([p for p, _ in batch]) if any(p for p, _ in batch) else None
    return prompts, tokenizer.encode([t for _, t in batch])


@dataclass(frozen=True)
class Tokens:
    """Read-only view of a tokens folder; row i is document i of the corpus it was made from."""

    folder: Path

    @cached_property
    def meta(self) -> dict[str, Any]:
        """Counts, dtype, separator and the content digest."""
        meta: dict[str, Any] = read_json(self.folder / "meta.json")
        return meta

    def __len__(self) -> int:
        return int(self.meta["documents"])

    @property
    def digest(self) -> str:
        """Hash of corpus and tokenizer: equal digests mean equal token ids."""
        return str(self.meta["digest"])

    @property
    def eos_id(self) -> int:
        """Id that stands before and after every document."""
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
    def prompt_tokens(self) -> NDArray[np.int32]:
        """[N] tokens of each prompt; 0 for plain documents."""
        prompts: NDArray[np.int32] = np.load(self.folder / "prompt_tokens.npy", mmap_mode="r", allow_pickle=False)
        return prompts

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
