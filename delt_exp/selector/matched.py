"""A random control for a selector that reads documents: documents of the same scores as those it keeps."""

from contextlib import AbstractContextManager
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, Seed, settings
from delt_exp.config.keys import moved, naming
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.errors import ConfigError
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.resources import Resources
from delt_exp.rows.candidates import Candidates
from delt_exp.rows.draws import uniform_per_id
from delt_exp.rows.ranking import rank
from delt_exp.selector.budget import Unit, sizes_of
from delt_exp.selector.reading import Reading, ReadingSelector, Selection
from delt_exp.tokenizer.base import Tokenizer


@settings
class MatchedSelector:
    """Keeps random documents whose scores are distributed as those that `base` keeps.

    Documents sorted by score are cut into `num_bins` stretches of equal size, and each gives as much as `base` keeps of
    it. unit: whether that counts documents or tokens; tokens that the next random document does not fit into go to the
    next stretch. With `scorer=length` it tells whether `base` does more than choose lengths.
    """

    VERSION: ClassVar[int] = 1
    base: ReadingSelector
    num_bins: Count
    unit: Unit
    seed: Seed

    @property
    def needs(self) -> frozenset[str]:
        return self.base.needs | {"scores"}

    def check(self, candidates: TokenizedCorpus, tokenizer: Tokenizer) -> None:
        if getattr(self.base, "answers", None) is not None:
            raise ConfigError(
                "selector.base.answers would let the base train on other answers than its control, which has those of "
                "the dataset, so that a difference would say nothing about the choice: selector.base.answers=null"
            )
        with self._naming():
            self.base.check(candidates, tokenizer)

    def count(self, num_candidates: int) -> int:
        with self._naming():
            return self.base.count(num_candidates)

    def select(self, reading: Reading) -> Selection:
        with self._naming():
            kept = self.base.select(reading).rows
        return Selection(matched_rows(reading.seen, kept, self.num_bins, self.unit, self.seed), reading.candidates)

    def training_sizes(self) -> list[int]:
        return self.base.training_sizes()

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        return self.base.forecast(sizes, resources)

    def _naming(self) -> AbstractContextManager[None]:
        """Let messages of `base` name its keys."""
        return naming(moved(self.base, "selector", "selector.base"))


def matched_rows(
    seen: Candidates, kept: NDArray[np.intp], num_bins: int, unit: Unit, seed: int
) -> NDArray[np.intp]:  # fmt: skip
    """Return rows of the same size as `kept`, ascending: of each stretch of goodness as much, drawn per id.

    Raises ConfigError where no document fits.
    """
    sizes_N, is_kept = sizes_of(seen, unit), np.zeros(len(seen), np.bool_)
    is_kept[kept] = True
    numbers = uniform_per_id(seen.ids, seed, "random documents of matched scores")
    drawn, left = [], 0
    for rows in np.array_split(rank(seen.ids, seen.goodness), num_bins):
        if not is_kept[rows].any():
            continue
        chance_first = rows[np.lexsort((seen.ids[rows], numbers[rows]))[::-1]]
        sums, budget = np.cumsum(sizes_N[chance_first]), int(sizes_N[rows[is_kept[rows]]].sum()) + left
        count = int(np.searchsorted(sums, budget, side="right"))
        left = budget - int(sums[count - 1] if count else 0)
        drawn.append(chance_first[:count])
    found = np.sort(np.concatenate(drawn))
    if not len(found):
        raise ConfigError(
            "selector.unit=tokens keeps nothing: the first random document of every stretch of scores has more tokens "
            "than selector.base keeps there; use selector.unit=documents"
        )
    return found
