"""Values of groups of documents by training on random halves of them. N candidates, C groups, M halves."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, NonNegativeInt, Seed, settings
from delt_exp.errors import ConfigError, DivergedError
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import seed_for
from delt_exp.scorer.base import Pool
from delt_exp.scorer.datamodel.evidence import Found, show
from delt_exp.scorer.datamodel.fit import fitted
from delt_exp.scorer.datamodel.groups import FITTED, HELD_OUT, Groups, grouped, random_halves
from delt_exp.scorer.utility.game import Asked
from delt_exp.scorer.utility.trained import FinetuneUtility, RetrainUtility
from delt_exp.scorer.utility.training import TrainingWorth

LEAST_HALVES = 3


@settings
class DatamodelScorer:
    """Scores a document by what its group adds to `utility`, per document of the group (arXiv:2202.00622).

    Random groups of about `group_documents` of one source each; `num_fitted` random halves of the groups, a training
    run each; the value of a group is its coefficient in the ridge regression of the utility on membership, centred so
    that the mean of all groups is 0. The halves are trained from `num_seeds` seeds in turn: values from one seed are
    also those of one order of the documents. `num_held_out` further halves say how well values predict; each is trained
    from two other seeds, which says how well any prediction could do. 0 for neither.
    """

    VERSION: ClassVar[int] = 2
    utility: RetrainUtility | FinetuneUtility
    group_documents: Count
    num_fitted: Count
    num_seeds: Count
    num_held_out: NonNegativeInt
    seed: Seed

    def __post_init__(self) -> None:
        if self.num_fitted < LEAST_HALVES:
            raise ConfigError(f"scorer.num_fitted={self.num_fitted} is too few to fit; use at least {LEAST_HALVES}")
        if self.num_fitted < LEAST_HALVES * self.num_seeds:
            raise ConfigError(
                f"scorer.num_seeds={self.num_seeds} leaves fewer than {LEAST_HALVES} of {self.num_fitted} halves to a "
                f"seed; use at most {self.num_fitted // LEAST_HALVES}, or a larger scorer.num_fitted"
            )

    @property
    def needs(self) -> frozenset[str]:
        return self.utility.needs

    @property
    def meaning(self) -> Meaning:
        explanation = f"How much its group adds to {self.utility.words}, per document, beside the mean group."
        return Meaning("datamodel value", "nats/token", "higher", explanation)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        """Return scores [R]; raises DivergedError where a training run gave no loss."""
        self.utility.check(pool)
        corpus = pool.candidates.corpus
        source_N = np.array(corpus.meta["sources"])[corpus.source_codes]
        groups = grouped(corpus.ids, source_N, self.group_documents, self.seed)
        worth = self.utility.open(pool, np.arange(len(corpus.ids)))
        fitted_MC = random_halves(len(groups), self.num_fitted, self.seed, FITTED)
        held_out_MC = random_halves(len(groups), self.num_held_out, self.seed, HELD_OUT)
        seed_M, fitted_M = np.arange(self.num_fitted) % self.num_seeds, np.empty(self.num_fitted)
        with pool.evidence.phase("valuation"):
            for number in range(self.num_seeds):
                seed = seed_for(self.seed, "training on fitted halves", number)
                fitted_M[seed_M == number] = _worth(_from(worth, seed), groups, fitted_MC[seed_M == number])
            first, second = (seed_for(self.seed, "training on held-out halves", number) for number in range(2))
            held_out_M, again_M = (_worth(_from(worth, seed), groups, held_out_MC) for seed in (first, second))
        fit = fitted(fitted_MC, fitted_M, seed_M)
        show(pool, Found(groups, fit, fitted_MC, fitted_M, held_out_MC, held_out_M, again_M), self.meaning)
        return (fit.values_C / groups.sizes)[groups.of_N][pool.rows].astype(np.float32)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of all training runs."""
        asked = Asked(self.num_fitted + 2 * self.num_held_out, len(sizes.lengths_N))
        return self.utility.forecast(sizes, resources, asked)


def _from(worth: TrainingWorth, seed: int) -> TrainingWorth:
    """Return the same worth, on the same target documents, from another seed of the training runs."""
    return replace(worth, trainings=replace(worth.trainings, seed=seed))


def _worth(worth: TrainingWorth, groups: Groups, halves_MC: NDArray[np.bool_]) -> NDArray[np.float64]:
    worth_M = worth.of(groups.documents_of(halves_MC))
    if not np.isfinite(worth_M).all():
        raise DivergedError(
            f"training on half {int(np.flatnonzero(~np.isfinite(worth_M))[0]) + 1} of {len(worth_M)} diverged; lower "
            "scorer.utility.recipe.optimizer.lr"
        )
    return worth_M
