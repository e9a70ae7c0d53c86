"""Preferences as a model reads them: the two sides of a document, of which only the last answers are predicted.

A side is the begin token, the prompt (all before the last answer), the answer and end-of-text, which belongs to the
answer. The prompt is cut at its beginning where a side would not fit the context, and then on both sides alike: the log
probabilities of the two answers are only comparable after the same prompt. An answer is never cut.
R rows of the tokens folders.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import IGNORED, Tokens
from delt_exp.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

Ints = NDArray[np.int64]


class Side(NamedTuple):
    """One side of a preference: the tokens that are read, and the label of each position (IGNORED in the prompt)."""

    inputs: Ints
    labels: Ints


@dataclass(frozen=True, eq=False)
class PairBatch:
    """Pairs of one pass: ids_RT and labels_RT as in `pair_arrays`, R = 2 D rows."""

    ids_RT: NDArray[np.int64]
    labels_RT: NDArray[np.int64]
    items: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.items)

    def only(self, pair: int) -> "PairBatch":
        """Return one pair alone."""
        rows = slice(2 * pair, 2 * pair + 2)
        return PairBatch(self.ids_RT[rows], self.labels_RT[rows], self.items[pair : pair + 1])


def sides(tokens: Tokens) -> tuple[Tokens, Tokens]:
    """Return the chosen and the rejected side of all documents; raises DataError where not all are preferences."""
    if tokens.rejected is None:
        raise DataError(
            "preferences are needed, but not every document has a rejected answer; use a dataset of preferences, such "
            "as train_dataset=hh_rlhf_harmless, or name the field with train_dataset.rejected"
        )
    return tokens, tokens.rejected


def answer_tokens(tokens: Tokens, rows: NDArray[np.intp]) -> Ints:
    """Return [R, 2] the tokens of the chosen and of the rejected answer, end-of-text included."""
    return np.stack([(side.lengths - side.answer_starts)[rows] + 1 for side in sides(tokens)], axis=1)


def positions(tokens: Tokens, rows: NDArray[np.intp], context_tokens: int) -> Ints:
    """Return [R, 2] how many positions both sides of these preferences have, their prompts as `pair` cuts them."""
    starts_R2 = np.stack([side.answer_starts[rows] for side in sides(tokens)], axis=1)
    whole_R2 = starts_R2 + answer_tokens(tokens, rows)
    cut_R1 = np.maximum(whole_R2.max(axis=1, keepdims=True) - context_tokens, 0)
    return np.asarray(whole_R2 - np.minimum(cut_R1, starts_R2))


def check_answers(tokens: Tokens) -> None:
    """Raise DataError where not every document is a preference with tokens in both answers."""
    empty = np.flatnonzero(answer_tokens(tokens, np.arange(len(tokens))).min(1) < 2)  # end-of-text alone
    if len(empty):
        raise DataError(
            f"document {empty[0]} (id {int(tokens.ids[empty[0]]):016x}) has an answer without tokens ({len(empty)} "
            "such documents), of which a model says nothing; leave them out of train_dataset"
        )


def fitting(tokens: Tokens, context_tokens: int) -> NDArray[np.bool_]:
    """Return [N] which preferences have answers that both fit a context; DPO trains on no others."""
    return np.asarray(answer_tokens(tokens, np.arange(len(tokens))).max(1) <= context_tokens)


def pair(tokens: Tokens, row: int, context_tokens: int) -> tuple[Side, Side]:
    """Return the chosen and the rejected side of document `row`, in at most `context_tokens` positions each.

    Raises DataError for an answer that does not fit the context.
    """
    both = sides(tokens)
    sizes = answer_tokens(tokens, np.array([row]))[0]
    longest = int(sizes.max())
    if longest > context_tokens:
        raise DataError(
            f"document {int(tokens.ids[row]):016x} has an answer of {longest} tokens (end-of-text included), which do "
            f"not fit a context of {context_tokens}; use a longer context, or leave the document out"
        )
    starts = [side.answer_start(row) for side in both]
    num_cut = max(0, int(np.max(starts + sizes)) - context_tokens)
    # A token with characters of both can make the prompt of one side longer by a few tokens.
    chosen, rejected = (_side(side, row, min(num_cut, start)) for side, start in zip(both, starts, strict=True))
    return chosen, rejected


def _side(tokens: Tokens, row: int, num_cut: int) -> Side:
    """Return a side without the first `num_cut` tokens of its prompt."""
    num_prompt, body = tokens.answer_start(row) - num_cut, tokens.document(row, num_cut).astype(np.int64)
    inputs = np.concatenate([[tokens.begin_id], body])
    labels = np.concatenate([np.full(num_prompt, IGNORED), body[num_prompt:], [tokens.eos_id]])
    return Side(inputs, labels)


def pair_arrays(tokens: Tokens, rows: NDArray[np.intp], context_tokens: int) -> tuple[Ints, Ints]:
    """Return ids and labels [2R, T] of the preferences `rows` [R]: row 2i is chosen, row 2i + 1 rejected.

    Padded on the right with end-of-text, which has no label. Raises what `pair` and `sides` raise.
    """
    return _padded([side for row in rows for side in pair(tokens, int(row), context_tokens)], tokens.eos_id)


def stacked(found: Sequence[Side], pad_id: int) -> dict[str, "Tensor"]:
    """Return `input_ids` and `labels` of sides as the rows of a batch, padded on the right without labels."""
    import torch

    inputs, labels = _padded(found, pad_id)
    return {"input_ids": torch.from_numpy(inputs), "labels": torch.from_numpy(labels)}


def _padded(found: Sequence[Side], pad_id: int) -> tuple[Ints, Ints]:
    shape = (len(found), max(len(side.inputs) for side in found))
    inputs, labels = np.full(shape, pad_id, np.int64), np.full(shape, IGNORED, np.int64)
    for place, side in enumerate(found):
        inputs[place, : len(side.inputs)] = side.inputs
        labels[place, : len(side.labels)] = side.labels
    return inputs, labels
