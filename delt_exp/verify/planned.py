"""The sequences that a network is to see when an export is read from its first document to its last."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.certificate.digests import Hashes, digest_of, powers, terms
from delt_exp.corpus.pieces import AT_ONCE, joined
from delt_exp.errors import ConfigError
from delt_exp.export.reading import check_shards, read_card, read_records, read_stream
from delt_exp.pretrained.loading import load_pretrained

Ints = NDArray[np.int64]
Encode = Callable[[dict[str, Any]], NDArray[np.integer]]


@dataclass(frozen=True, eq=False)
class Planned:
    """Sequences in training order.

    unit: what one of them is. lengths, digests: [n]. rest: digest of the tokens after the last whole sequence, None
    where there are none; some trainers train them and others do not. stream: the tokens of all sequences, one after
    the other.
    """

    unit: str
    lengths: Ints
    digests: Hashes
    rest: int | None
    stream: Callable[[], NDArray[np.integer]]

    @property
    def units(self) -> str:
        """Several of them, as `sequences of 64 tokens`."""
        first, space, rest = self.unit.partition(" ")
        return f"{first}s{space}{rest}"


def planned(
    folder: Path, *, context: int | None, tokenizer: str | None, append_eos: bool, max_tokens: int | None
) -> Planned:
    """Return the sequences of an export: its documents, or windows of `context` tokens over all of them joined.

    tokenizer: a name or folder for `transformers`, for an export without tokens; append_eos: whether its end-of-text
    token follows what it makes of a document; max_tokens: how many tokens of a document are left, that one counted.
    Raises ConfigError where the export cannot be read like this, DataError where it was changed.
    """
    card = read_card(folder)
    check_shards(folder, card)
    if append_eos and tokenizer is None:
        raise ConfigError(
            "--append-eos says what follows the tokens that --tokenizer makes: give both, or none, as every document "
            "of an export with tokens ends with its end-of-text token"
        )
    if card["format"] == "bin":
        if context is None or tokenizer is not None or max_tokens is not None:
            raise ConfigError(
                f"{folder} is a stream of tokens: give --context, the tokens of a sequence; no --tokenizer and no "
                "--max-tokens"
            )
        ids = read_stream(folder)
        pieces = (np.asarray(ids[first : first + AT_ONCE]) for first in range(0, len(ids), AT_ONCE))
        return windows(pieces, context, lambda: ids, needs_next=True)

    def documents() -> Iterator[NDArray[np.integer]]:
        return _documents(folder, _encoder(card, tokenizer, append_eos), max_tokens)

    def stream() -> NDArray[np.integer]:
        return np.concatenate([*documents()])

    if context is not None:
        return windows(joined(documents()), context, stream, needs_next=False)
    facts = ((len(ids), digest_of(ids)) for ids in documents())
    found = np.fromiter(facts, [("length", np.int64), ("digest", np.uint64)])
    return Planned("document", found["length"], found["digest"], None, stream)


def windows(
    pieces: Iterable[NDArray[np.integer]], context: int, stream: Callable[[], NDArray[np.integer]], *, needs_next: bool
) -> Planned:
    """Return the sequences of `context` tokens that a stream is cut into.

    pieces: the stream again, in parts, because it may be larger than memory. needs_next: the last token of a sequence
    needs the one after it as its label.
    """
    factors, left = powers(context), np.zeros(0, np.int64)
    digests = [np.zeros(0, np.uint64)]
    for piece in pieces:
        ids = np.concatenate([left, piece])
        end = max(len(ids) - needs_next, 0) // context * context
        digests.append((terms(ids[:end].reshape(-1, context)) * factors).sum(1, dtype=np.uint64))
        left = ids[end:]
    rest, found = left[: len(left) - needs_next], np.concatenate(digests)
    digest = digest_of(rest) if len(rest) else None
    return Planned(f"sequence of {context} tokens", np.full(len(found), context), found, digest, stream)


def _documents(folder: Path, encode: Encode, max_tokens: int | None) -> Iterator[NDArray[np.integer]]:
    for record in read_records(folder):
        yield encode(record)[:max_tokens]


def _encoder(card: dict[str, Any], tokenizer: str | None, append_eos: bool) -> Encode:
    """Return what turns a record into token ids."""
    if tokenizer is None:
        if "input_ids" not in card["columns"]:
            raise ConfigError(
                "the export has no tokens: give --tokenizer, name or folder of the tokenizer of the training run, or "
                "export with --tokens and train on input_ids"
            )
        return lambda record: np.array(record["input_ids"], np.int64)
    from transformers import AutoTokenizer

    found = load_pretrained(AutoTokenizer, tokenizer, None)
    if append_eos and found.eos_token_id is None:
        raise ConfigError(f"--append-eos: the tokenizer {tokenizer} names no end-of-text token; leave it out")
    ending = [found.eos_token_id] if append_eos else []

    def encode(record: dict[str, Any]) -> NDArray[np.integer]:
        if record.get("messages"):
            ids = found.apply_chat_template(record["messages"], return_dict=True)["input_ids"]
        else:
            ids = found(record.get("prompt", "") + record["text"])["input_ids"]
        return np.array([*ids, *ending], np.int64)

    return encode
