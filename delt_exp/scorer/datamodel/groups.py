"""Groups of documents, and random halves of the groups. N documents, C groups, M halves."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import ConfigError
from delt_exp.rows.draws import generator, uniform_per_id

LEAST_GROUPS = 4
Half = Literal["fitted", "held out"]
FITTED, HELD_OUT = get_args(Half)


@dataclass(frozen=True, eq=False)
class Groups:
    """of_N: the group of each document, from 0; source_C: where all its documents come from."""

    of_N: NDArray[np.intp]
    source_C: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.source_C)

    @property
    def sizes(self) -> NDArray[np.intp]:
        """[C] documents of each group."""
        return np.bincount(self.of_N, minlength=len(self))

    def documents_of(self, halves_MC: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return [M, N]: which documents the halves hold."""
        return halves_MC[:, self.of_N]


def grouped(ids: NDArray[np.uint64], source_N: NDArray[np.str_], size: int, seed: int) -> Groups:
    """Return random groups of about `size` documents of one source, the same whatever the order of the rows.

    A source is dealt into the number of groups that comes nearest to the size, whose sizes differ by at most one.
    Raises ConfigError for fewer than four groups.
    """
    draws_N = uniform_per_id(ids, seed, "groups of a datamodel")
    of_N, sources = np.empty(len(ids), np.intp), list[str]()
    for source in np.unique(source_N):
        rows = np.flatnonzero(source_N == source)
        count = max(1, round(len(rows) / size))
        of_N[rows[np.argsort(draws_N[rows], kind="stable")]] = len(sources) + np.arange(len(rows)) % count
        sources += [str(source)] * count
    if len(sources) < LEAST_GROUPS:
        raise ConfigError(
            f"scorer.group_documents={size} makes {len(sources)} groups of {len(ids)} documents; {LEAST_GROUPS} are "
            "the fewest that halves tell apart: use a smaller number"
        )
    return Groups(of_N, np.array(sources))


def random_halves(num_groups: int, count: int, seed: int, part: Half) -> NDArray[np.bool_]:
    """Return [count, C]: random sets of exactly half of the groups (rounded down)."""
    draws = generator(seed, "halves of groups", (FITTED, HELD_OUT).index(part)).random((count, num_groups))
    return np.argsort(np.argsort(draws, axis=1), axis=1) < num_groups // 2
