"""A random control for a selector that reads documents: documents of the same scores as those it keeps."""

from contextlib import AbstractContextManager
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, Seed, settings
from delt_exp.config.keys import moved, naming
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.resources import Resources
from delt_exp.rows.candidates import Candidates
from delt_exp.rows.draws import uniform_per_id
from delt_exp.rows.ranking import best_rows, rank
from delt_exp.selector.reading import Reading, ReadingSelector, Selection


@settings
class MatchedSelector:
    """Keeps random documents, as many of each stretch of scores as `base` keeps there.

    num_bins: stretches of equally many documents. With a score of length it tells whether a selection is more than a
    choice of lengths.
    """

    VERSION: ClassVar[int] = 1
    base: ReadingSelector
    num_bins: Count
    seed: Seed

    @property
    def needs(self) -> frozenset[str]:
        return self.base.needs | {"scores"}

    def check(self, candidates: TokenizedCorpus) -> None:
        with self._naming():
            self.base.check(candidates)

    def count(self, num_candidates: int) -> int:
        with self._naming():
            return self.base.count(num_candidates)

    def select(self, reading: Reading) -> Selection:
        with self._naming():
            kept = self.base.select(reading).rows
        return Selection(matched_rows(reading.seen, kept, self.num_bins, self.seed), reading.candidates)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        return self.base.forecast(sizes, resources)

    def _naming(self) -> AbstractContextManager[None]:
        """Let messages of `base` name its keys."""
        return naming(moved(self.base, "selector", "selector.base"))


def matched_rows(seen: Candidates, kept: NDArray[np.intp], num_bins: int, seed: int) -> NDArray[np.intp]:
    """Return as many rows as `kept`, ascending: of each stretch of goodness as many, drawn per id."""
    is_kept = np.zeros(len(seen), np.bool_)
    is_kept[kept] = True
    numbers = uniform_per_id(seen.ids, seed, "random documents of matched scores")
    drawn = []
    for rows in np.array_split(rank(seen.ids, seen.goodness), num_bins):
        if count := int(np.count_nonzero(is_kept[rows])):
            drawn.append(rows[best_rows(seen.ids[rows], numbers[rows], count)])
    return np.sort(np.concatenate(drawn))
