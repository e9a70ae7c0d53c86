"""Preference pairs as shots: what raises the probability of the chosen answer over that of the rejected one.

A pair is one sample of two rows, whose losses count with the weights 1 and -1: the gradient of the sample is that of
-(log p(chosen) - log p(rejected)), cross terms included. B pairs of a batch, P trainable parameters.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from delt_exp.corpus.pairs import Side, fitting, pair, stacked
from delt_exp.corpus.tokens import IGNORED, Tokens
from delt_exp.errors import ConfigError
from delt_exp.files import digest
from delt_exp.gradients.signed_rows import ROW_WEIGHTS, SignedRows
from delt_exp.model.batch import Batch
from delt_exp.model.next_token import evaluating
from delt_exp.model.objective import CrossEntropy
from delt_exp.scorer.influence.directions import inverse

Groups = Mapping[str, NDArray[np.intp]]


class Pairs(ABC):
    """Pairs of a target, by their position."""

    tokens: Tokens
    rows: NDArray[np.intp]

    @abstractmethod
    def pair(self, position: int) -> tuple[Side, Side]:
        """Return the chosen and the rejected side."""

    @abstractmethod
    def sizes(self, positions: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return the tokens of the longer side of each pair, at most."""

    def name(self, position: int) -> str:
        """Return what to call a pair in a message."""
        return f"the pair of document {self.rows[position]} (id {int(self.tokens.ids[self.rows[position]]):016x})"


@dataclass(frozen=True, eq=False)
class GivenPairs(Pairs):
    """The chosen and rejected answers of the documents `rows`, each side in at most `pair_tokens` positions."""

    tokens: Tokens
    rows: NDArray[np.intp]
    pair_tokens: int

    def pair(self, position: int) -> tuple[Side, Side]:
        return pair(self.tokens, int(self.rows[position]), self.pair_tokens)

    def sizes(self, positions: NDArray[np.intp]) -> NDArray[np.int64]:
        assert self.tokens.rejected is not None
        rows = self.rows[positions]
        longer = np.maximum(self.tokens.lengths[rows], self.tokens.rejected.lengths[rows])
        return np.minimum(longer + 1, self.pair_tokens)

    def fits(self) -> NDArray[np.bool_]:
        """Return for each pair whether both answers fit `pair_tokens`."""
        return fitting(self.tokens, self.pair_tokens)[self.rows]


@dataclass(frozen=True, eq=False)
class PairShots:
    """Pairs with the weights of their rows: log_probs of answers are sums over tokens (`sum`) or their `mean`.

    beta: None normalises each pair's gradient, which takes away what beta and the reference do. A number sums the
    gradients of the DPO loss with that beta, the adapters off as reference, and normalises the sum.
    """

    rows_per_sample: ClassVar[int] = 2
    pairs: Pairs
    groups: Groups
    log_probs: str
    beta: float | None

    @property
    def sum_is_normalised(self) -> bool:
        return self.beta is not None

    def sizes(self, shots: NDArray[np.intp]) -> NDArray[np.int64]:
        return self.pairs.sizes(shots)

    def batch(self, shots: NDArray[np.intp]) -> Batch:
        found = [self.pairs.pair(int(shot)) for shot in shots]
        batch = stacked([side for sides in found for side in sides], self.pairs.tokens.eos_id)
        weight_R = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(len(found))
        if self.log_probs == "mean":
            weight_R /= (batch["labels"] != IGNORED).sum(1)
        # Rounding must not give a pair of identical answers, whose gradient is 0, a direction.
        differs_B = torch.tensor([not is_identical(*sides) for sides in found])
        return {**batch, ROW_WEIGHTS: weight_R * differs_B.repeat_interleave(2)}

    def name(self, shot: int) -> str:
        return self.pairs.name(shot)

    def scales(self, network: nn.Module, batch: Batch, norm_B: Tensor) -> Tensor:
        if self.beta is None:
            return inverse(norm_B)
        return self.beta * torch.sigmoid(-margins(network, batch, self.beta)).to(norm_B)


def margins(network: nn.Module, batch: Batch, beta: float) -> Tensor:
    """h = beta ((log p - log p_ref)(chosen) - (log p - log p_ref)(rejected)) of each pair, (B,).

    The reference is the network with its adapters off; raises ConfigError where it has none: h would be 0.
    """
    adapters_off = getattr(network, "disable_adapter", None)
    if adapters_off is None:
        raise ConfigError(
            "scorer.aggregate=gradients compares with the model without its adapters, and this one has none, or they "
            "are merged; use scorer.aggregate=pairs, which needs no reference"
        )
    loss = SignedRows(CrossEntropy(), 2)
    with torch.no_grad(), evaluating(network):
        policy_B = loss.losses(network, batch)
        with adapters_off():
            reference_B = loss.losses(network, batch)
    return beta * (reference_B - policy_B)


def is_identical(chosen: Side, rejected: Side) -> bool:
    return np.array_equal(chosen.inputs, rejected.inputs) and np.array_equal(chosen.labels, rejected.labels)


def tallied(pairs: Pairs, positions: NDArray[np.intp]) -> tuple[int, int, int]:
    """Return how many pairs there are, how many have identical answers, and how many repeat an earlier pair."""
    distinct, num_identical = set[str](), 0
    for position in positions:
        chosen, rejected = pairs.pair(int(position))
        num_identical += is_identical(chosen, rejected)
        distinct.add(digest(*chosen, *rejected))
    return len(positions), num_identical, len(positions) - len(distinct)
