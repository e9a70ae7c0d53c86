"""What must be known of the pairs before a judge is opened: that they are pairs, and how long they are.

N documents of a corpus, M documents that queries are drawn from, G groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.corpus import Corpus
from delt_exp.dataset.base import Part
from delt_exp.errors import ConfigError, DataError
from delt_exp.mapping.items import document_name
from delt_exp.proxy.base import ProxyModel
from delt_exp.scorer.data_whisperer.groups import NOBODY, Groups, Rows
from delt_exp.scorer.data_whisperer.metrics import MARK
from delt_exp.scorer.data_whisperer.pairs import Pair, is_plain, pair_of
from delt_exp.scorer.data_whisperer.prompt import make_frame, shown
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.tokenizer.span import Span

BATCH_DOCUMENTS = 1024
MARGIN = 8  # tokens that the marks of a question may need beyond those of a demonstration


@dataclass(frozen=True, eq=False)
class PairLengths:
    """Tokens [N] of documents as pairs; of documents that are not in `rows`, 0.

    shown_N: as a demonstration. question_N, response_N: of the two sides, whole. is_cut_N: whether a demonstration
    lacks the end of either. has_mark_N: whether the response marks its final answer.
    """

    rows: Rows
    shown_N: NDArray[np.int64]
    question_N: NDArray[np.int64]
    response_N: NDArray[np.int64]
    is_cut_N: NDArray[np.bool_]
    has_mark_N: NDArray[np.bool_]


def pair_lengths(corpus: Corpus, rows: Rows, tokenizer: Tokenizer, context_tokens: int, *, split: bool) -> PairLengths:
    """Return the lengths of the documents `rows`, in any order and repeated.

    Raises ConfigError for a plain document where `split` is false, DataError for a pair without a response.
    """
    rows, count = np.unique(rows[rows != NOBODY]), len(corpus)
    numbers_3N, flags_2N = np.zeros((3, count), np.int64), np.zeros((2, count), np.bool_)
    for start in range(0, len(rows), BATCH_DOCUMENTS):
        some = rows[start : start + BATCH_DOCUMENTS]
        whole, used = [], []
        for row, parts in zip(some, corpus.read(some), strict=True):
            whole.append(_whole_pair(corpus, int(row), parts, tokenizer, context_tokens, split=split))
            used.append(pair_of(parts, tokenizer, context_tokens))
        sides = map(shown, used), (shown(Pair(pair.prompt, "")) for pair in whole), (pair.response for pair in whole)
        numbers_3N[:, some] = [[len(ids) for ids in tokenizer.encode(list(texts))] for texts in sides]
        flags_2N[0, some] = [cut != pair for cut, pair in zip(used, whole, strict=True)]
        flags_2N[1, some] = [MARK in pair.response for pair in whole]
    return PairLengths(rows, *numbers_3N, *flags_2N)


def _whole_pair(
    corpus: Corpus, row: int, parts: Sequence[Part], tokenizer: Tokenizer, context_tokens: int, *, split: bool
) -> Pair:
    if is_plain(parts) and not split:
        raise ConfigError(
            f"{document_name(row, corpus.ids)} has no prompt, and scorer.split=false; use scorer.split=true, or a "
            "dataset of pairs, such as train_dataset=stdlib_pairs"
        )
    pair = pair_of(parts, tokenizer, context_tokens, whole=True)
    if not pair.response:
        raise DataError(f"{document_name(row, corpus.ids)} has an empty response; leave it out of the dataset")
    return pair


def group_tokens(
    groups: Groups, shown_N: NDArray[np.int64], asked_M: NDArray[np.int64], frame: int
) -> NDArray[np.int64]:
    """Return [G] about how many tokens of each group are read; frame: tokens around the body of a prompt."""
    demonstrations_G = _lengths(groups.members_GD, shown_N).sum(1)
    return np.asarray(frame + demonstrations_G + _lengths(groups.queries_GQ, asked_M + MARGIN).sum(1))


def check_prompts(
    model: ProxyModel, groups: Groups, shown_N: NDArray[np.int64], asked_M: NDArray[np.int64], frame: int, *,
    joint: bool, smaller: str,
) -> None:  # fmt: skip
    """Raise ConfigError where a prompt may not fit the positions of the model, with what does.

    asked_M: tokens of a question and of what is read or written as its response. smaller: the key that limits those.
    """
    if model.position_limit is None:
        return
    asked_GQ = _lengths(groups.queries_GQ, asked_M + MARGIN)
    question_G = asked_GQ.sum(1) if joint else asked_GQ.max(1)
    longest = int((frame + question_G + _lengths(groups.members_GD, shown_N).sum(1)).max())
    if longest > model.position_limit:
        fits = _most_members(shown_N, model.position_limit - frame - int(question_G.max()))
        cure = f"use scorer.num_demonstrations={fits}" if fits else f"use a smaller {smaller}"
        other = smaller if fits else "scorer.num_queries" if joint else "scorer.context_tokens"
        raise ConfigError(
            f"a prompt has up to {longest} tokens, but {model.name!r} has {model.position_limit} positions; {cure}, or "
            f"a smaller {other}"
        )


def _lengths(places: Rows, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the tokens of the documents in these places; NOBODY has 0."""
    return np.where(places == NOBODY, 0, tokens[places])


def _most_members(lengths_N: NDArray[np.int64], room: int) -> int:
    """Return how many demonstrations fit whichever come together: the longest ones."""
    return int(np.searchsorted(np.cumsum(np.sort(lengths_N)[::-1]), room, side="right"))


def frame_tokens(tokenizer: Tokenizer, instruction: str) -> int:
    """Return how many tokens stand around the body of a prompt."""
    frame = make_frame(tokenizer)
    return len(tokenizer.encode_marked([*frame.before, Span(f"{instruction}\n\n", False), *frame.after])[0])
