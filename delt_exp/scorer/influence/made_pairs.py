"""Preference pairs made of documents that have one answer each: against that of another document, or a sampled one.

N pairs, M new tokens of a sampled answer at most.
"""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.pairs import Side
from delt_exp.corpus.tokens import IGNORED, Tokens
from delt_exp.errors import ConfigError
from delt_exp.model.hf import PretrainedNetwork
from delt_exp.preference.writer import NONE, AnswerWriter, PromptItems, written_stage
from delt_exp.proxy.base import ProxyModel
from delt_exp.resources import Resources
from delt_exp.rows.draws import seed_for, shuffled_rows
from delt_exp.scorer.influence.pairs import Groups, Pairs

Ids = NDArray[np.int64]


class MadePairs(Pairs):
    """Each document's answer against another one after the same prompt.

    Of a document without a prompt the second half of its beginning is the answer. An answer is its first
    `pair_tokens / 2` tokens at most, and a prompt is cut at its beginning to fit.
    """

    pair_tokens: int

    @abstractmethod
    def other(self, position: int) -> Ids:
        """Return the rejected answer, end-of-text included where it is whole."""

    def pair(self, position: int) -> tuple[Side, Side]:
        (prompt, own), other = self._parts(position), self.other(position)
        prompt = prompt[max(0, len(prompt) + max(len(own), len(other)) - self.pair_tokens) :]
        chosen, rejected = (self._side(prompt, answer) for answer in (own, other))
        return chosen, rejected

    def _parts(self, position: int) -> tuple[Ids, Ids]:
        """Return prompt and answer of a document, end-of-text included where the answer is whole."""
        row, most = int(self.rows[position]), self.pair_tokens // 2
        whole = np.append(self.tokens.document(row).astype(np.int64), self.tokens.eos_id)
        start = self.tokens.answer_start(row)
        if not start:  # no prompt
            whole = whole[: self.pair_tokens]
            start = len(whole) // 2
        return whole[:start], whole[start : start + most]

    def _side(self, prompt: Ids, answer: Ids) -> Side:
        inputs = np.concatenate([[self.tokens.begin_id], prompt, answer[:-1]])
        return Side(inputs, np.concatenate([np.full(len(prompt), IGNORED), answer]))


def answer_starts(tokens: Tokens, pair_tokens: int) -> Ids:
    """Return [N] where the answer of every document begins: the middle of its beginning where it has no prompt."""
    starts = tokens.answer_starts
    return np.where(starts > 0, starts, np.minimum(tokens.lengths + 1, pair_tokens) // 2)


@dataclass(frozen=True, eq=False)
class MismatchedPairs(MadePairs):
    """Against the answers of other documents, `partners` [positions in `rows`]."""

    tokens: Tokens
    rows: NDArray[np.intp]
    partners: NDArray[np.intp]
    pair_tokens: int

    def other(self, position: int) -> Ids:
        return self._parts(int(self.partners[position]))[1]

    def sizes(self, positions: NDArray[np.intp]) -> NDArray[np.int64]:
        longer = np.maximum(*(self.tokens.lengths[self.rows[place]] for place in (positions, self.partners[positions])))
        return np.minimum(longer + self.tokens.lengths[self.rows[positions]] + 1, self.pair_tokens)


@dataclass(frozen=True, eq=False)
class SampledPairs(MadePairs):
    """Against answers that a model wrote: written [N, M], NONE after the end of a shorter one."""

    tokens: Tokens
    rows: NDArray[np.intp]
    written: NDArray[np.int32]
    pair_tokens: int

    def other(self, position: int) -> Ids:
        ids = self.written[position].astype(np.int64)
        return np.where(ids == NONE, self.tokens.eos_id, ids)[: np.count_nonzero(ids != NONE) + 1]

    def sizes(self, positions: NDArray[np.intp]) -> NDArray[np.int64]:
        most = self.tokens.lengths[self.rows[positions]] + self.written.shape[1] + 1
        return np.minimum(most, self.pair_tokens)


def sampled_pairs(
    resources: Resources, tokens: Tokens, rows: NDArray[np.intp], model: ProxyModel, *,
    pair_tokens: int, temperature: float, seed: int,
) -> SampledPairs:  # fmt: skip
    """Return pairs with one answer each of up to `pair_tokens / 2` tokens, drawn at `temperature`, not truncated.

    Written once, as a stage; a killed call continues.
    """
    writer = AnswerWriter(
        PretrainedNetwork(model.name, model.revision), 0, model.tokenizer, num_answers=1,
        max_new_tokens=pair_tokens // 2, temperature=temperature, stop=(),
        seed=seed_for(seed, "sampled answers of ROSE"), context_tokens=pair_tokens,
    )  # fmt: skip
    items = PromptItems(tokens, rows, writer, np.asarray(tokens.ids), answer_starts(tokens, pair_tokens))
    return SampledPairs(tokens, rows, written_stage(resources, items)[:, 0], pair_tokens)


def mismatched(ids: NDArray[np.uint64], groups: Groups, seed: int) -> NDArray[np.intp]:
    """Return for each position another one of its group: the next in a random order of the group, never itself.

    Raises ConfigError for a group of one document.
    """
    partners = np.zeros(len(ids), np.intp)
    for name, members in groups.items():
        if len(members) < 2:
            raise ConfigError(
                f"group {name} of the target has one document, so there is no other answer to compare its answer "
                "with; give it more documents, or use scorer.groups=one or scorer.pairs=sampled"
            )
        order = members[shuffled_rows(ids[members], seed, "mismatched answers of ROSE")]
        partners[order] = np.roll(order, -1)
    return partners
