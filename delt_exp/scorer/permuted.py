"""Another scorer's scores, permuted at random: the placebo of that scorer."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Seed, settings
from delt_exp.config.keys import moved, naming
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import shuffled_rows
from delt_exp.rows.ranking import rank_ids
from delt_exp.scorer.base import Forecasting, Pool, Scorer
from delt_exp.scorer.parts import check_part
from delt_exp.scorer.stage import scores_stage


@settings
class PermutedScorer:
    """The scores of `base` in random order: their distribution without what they say.

    The order is a function of the document ids and `seed`: the rows of the corpus do not matter. `base` is a stage of
    its own, reused where a run has used the scorer itself.
    """

    VERSION: ClassVar[int] = 2
    base: Scorer
    seed: Seed

    @property
    def needs(self) -> frozenset[str]:
        return self.base.needs

    @property
    def meaning(self) -> Meaning:
        base = self.base.meaning
        explanation = f"A placebo: each document has the {base.name} of another one, drawn at random."
        return Meaning(f"permuted {base.name}", base.unit, base.better, explanation)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        with naming(moved(self.base, "scorer", "scorer.base")):
            table = scores_stage(pool.resources, self.base, pool.candidates, pool.target)
        scores = np.empty_like(table.scores)
        scores[shuffled_rows(table.ids, self.seed, "permuted scores")] = table.scores[rank_ids(table.ids)]
        return scores[pool.rows]

    def check_files(self) -> None:
        check_part("scorer.base", self.base)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of `base`; permuting its scores costs next to nothing."""
        everything = replace(sizes, num_scored=None)  # whichever documents are asked for
        return self.base.forecast(everything, resources) if isinstance(self.base, Forecasting) else []
