"""What must be known of the pairs before a judge is opened: that they are pairs, and how long they are."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.corpus import Corpus
from delt_exp.dataset.base import Part
from delt_exp.errors import ConfigError, DataError
from delt_exp.mapping.items import document_name
from delt_exp.proxy.base import ProxyModel
from delt_exp.scorer.data_whisperer.groups import NOBODY, Groups, Rows
from delt_exp.scorer.data_whisperer.pairs import Pair, is_plain, pair_of
from delt_exp.scorer.data_whisperer.prompt import make_frame, shown
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.tokenizer.span import Span

BATCH_DOCUMENTS = 1024
MARGIN = 8  # tokens that the marks of a question may need beyond those of a demonstration


def pair_tokens(
    corpus: Corpus, rows: Rows, tokenizer: Tokenizer, context_tokens: int, *, split: bool
) -> NDArray[np.int64]:
    """Return [N] how many tokens each document of `rows` has as a demonstration; the others have 0.

    Raises ConfigError for a plain document where `split` is false, DataError for a pair without a response.
    """
    lengths_N = np.zeros(len(corpus), np.int64)
    for start in range(0, len(rows), BATCH_DOCUMENTS):
        some = rows[start : start + BATCH_DOCUMENTS]
        texts = [
            shown(_pair(corpus, int(row), parts, tokenizer, context_tokens, split=split))
            for row, parts in zip(some, corpus.read(some), strict=True)
        ]
        lengths_N[some] = [len(ids) for ids in tokenizer.encode(texts)]
    return lengths_N


def _pair(
    corpus: Corpus, row: int, parts: Sequence[Part], tokenizer: Tokenizer, context_tokens: int, *, split: bool
) -> Pair:
    if is_plain(parts) and not split:
        raise ConfigError(
            f"{document_name(row, corpus.ids)} has no prompt, and scorer.split=false; use scorer.split=true, or a "
            "dataset of pairs, such as train_dataset=stdlib_pairs"
        )
    pair = pair_of(parts, tokenizer, context_tokens)
    if not pair.response:
        raise DataError(f"{document_name(row, corpus.ids)} has an empty response; leave it out of the dataset")
    return pair


def group_tokens(
    groups: Groups, lengths_N: NDArray[np.int64], query_lengths_M: NDArray[np.int64], frame: int
) -> NDArray[np.int64]:
    """Return [G] about how many tokens of each group are read; frame: tokens around the body of a prompt."""
    members, asked = groups.members_GD, groups.queries_GQ
    demonstrations_G = np.where(members == NOBODY, 0, lengths_N[members]).sum(1)
    return np.asarray(frame + demonstrations_G + np.where(asked == NOBODY, 0, query_lengths_M[asked] + MARGIN).sum(1))


def check_prompts(
    model: ProxyModel, groups: Groups, lengths_N: NDArray[np.int64], query_lengths_M: NDArray[np.int64], frame: int,
    *, joint: bool, written_tokens: int = 0,
) -> None:  # fmt: skip
    """Raise ConfigError where a prompt may not fit the positions of the model, with what does.

    written_tokens: for each answer that the model is to write, 0 where it reads the responses.
    """
    if model.position_limit is None:
        return
    asked = np.where(groups.queries_GQ == NOBODY, 0, query_lengths_M[groups.queries_GQ] + MARGIN + written_tokens)
    question_G = asked.sum(1) if joint else asked.max(1)
    members = np.where(groups.members_GD == NOBODY, 0, lengths_N[groups.members_GD]).sum(1)
    longest = int((frame + question_G + members).max())
    if longest > model.position_limit:
        room = model.position_limit - frame - int(question_G.max())
        fits = _most_members(lengths_N, room)
        cure = f"use scorer.num_demonstrations={fits}" if fits else "use a smaller scorer.context_tokens"
        raise ConfigError(
            f"a prompt has up to {longest} tokens, but {model.name!r} has {model.position_limit} positions; {cure}, or "
            f"a smaller {'scorer.context_tokens' if fits else 'scorer.num_queries'}"
        )


def _most_members(lengths_N: NDArray[np.int64], room: int) -> int:
    """Return how many demonstrations fit whichever come together: the longest ones."""
    return int(np.searchsorted(np.cumsum(np.sort(lengths_N)[::-1]), room, side="right"))


def frame_tokens(tokenizer: Tokenizer, instruction: str) -> int:
    """Return how many tokens stand around the body of a prompt."""
    frame = make_frame(tokenizer)
    return len(tokenizer.encode_marked([*frame.before, Span(f"{instruction}\n\n", False), *frame.after])[0])
