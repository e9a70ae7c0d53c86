"""The sources of a training run, and the sequence of documents that has their shares."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Sources:
    """What there is to mix: G sources by name, the predicted tokens [G] of their documents, and the budget in tokens.

    Only sources with a document to train on are here, in the order of the corpus.
    """

    names: Sequence[str]
    tokens_G: NDArray[np.int64]
    budget_tokens: int

    @property
    def natural_shares(self) -> NDArray[np.float64]:
        """The shares of the tokens that there are."""
        return self.tokens_G / self.tokens_G.sum()

    def epochs(self, shares_G: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return [G] how often the documents of each source are trained on; below 1, not all of them are."""
        return shares_G * self.budget_tokens / self.tokens_G

    def by_name(self, shares: "dict[str, float]", key: str) -> NDArray[np.float64]:
        """Return [G] the shares of a mapping; raises ConfigError unless it names each source and sums to 1."""
        wrong = [f"{name} has no share" for name in self.names if name not in shares]
        wrong += [f"{name} has no document, or none that is kept" for name in shares if name not in self.names]
        if wrong:
            raise ConfigError(f"{key} must name each source once: {', '.join(self.names)}; {', '.join(wrong)}")
        if abs(sum(shares.values()) - 1) > 1e-6:
            raise ConfigError(f"{key} sum to {sum(shares.values()):g}; let them sum to 1")
        return np.array([shares[name] for name in self.names], np.float64)


def interleaved(
    groups_P: NDArray[np.intp], tokens_P: NDArray[np.int64], shares_G: NDArray[np.float64], budget_tokens: int
) -> NDArray[np.intp]:
    """Return positions of the P documents in which every prefix has the shares of tokens, within one document a source.

    The next document is always one of the source with the smallest tokens/share, as in `dataset.mixture`; documents of
    one source stay in their order and repeat after the last. The sequence ends once every source has its share of
    `budget_tokens`, so that it is longer than the budget by less than one document of each source.
    """
    chosen, due = [], []
    for group in np.flatnonzero(shares_G > 0):
        positions = np.flatnonzero(groups_P == group)
        # A product that is a whole number of epochs up to rounding is that number: no document comes once more for it.
        wanted = round(float(shares_G[group]) * budget_tokens, 6)
        repeats = -(-wanted // int(tokens_P[positions].sum()))
        repeated = np.tile(positions, int(repeats))
        before = np.cumsum(tokens_P[repeated]) - tokens_P[repeated]
        is_used = before < wanted
        chosen.append(repeated[is_used])
        due.append(before[is_used] / shares_G[group])
    return np.concatenate(chosen)[np.argsort(np.concatenate(due), kind="stable")]
