"""Clusters of documents, each worth what its proxy document adds to a utility. N candidates, C clusters."""

from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, NonNegativeFloat, Seed, Several, settings
from delt_exp.encoder.base import Encoder
from delt_exp.encoder.clusters import clustered
from delt_exp.encoder.stage import check_vectors, embeddings_stage
from delt_exp.errors import ConfigError
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import generator
from delt_exp.scorer.base import Pool
from delt_exp.scorer.shed.estimators import Estimate, exact, halves, permutation, removal
from delt_exp.scorer.shed.evidence import Found, show
from delt_exp.scorer.utility.game import Asked, Game, Solved, Utility

MOST_EXACT = 12  # clusters, 4096 sets


@settings
class ShedScorer:
    """Scores a document by the value of its cluster of embeddings: what its proxy adds to `utility` (arXiv 2405.00705).

    The proxy is the document nearest the centre of the cluster, and the only one that the utility learns from.
    estimator: `exact`, Shapley values from all sets of clusters, or in closed form where the utility has one;
    `permutation`, from `iterations` random orders, each of which ends where the utility is within `tolerance` of that
    of all proxies; `removal`, the published one: groups of `groups_of` proxies are removed until none is left, and what
    is lost is shared by the group; `halves`, Banzhaf values from `iterations` random halves and their complements.
    Clusters of equal value are kept a rounding error apart, so that a selector can tell them apart.
    """

    VERSION: ClassVar[int] = 3
    encoder: Encoder
    num_clusters: Several
    estimator: Literal["exact", "permutation", "removal", "halves"]
    groups_of: Count
    iterations: Count
    tolerance: NonNegativeFloat
    utility: Utility
    seed: Seed

    def __post_init__(self) -> None:
        if self.estimator == "removal" and self.groups_of > self.num_clusters:
            raise ConfigError(
                f"scorer.groups_of={self.groups_of} is more than scorer.num_clusters={self.num_clusters}; use a "
                "smaller number"
            )
        if self.estimator == "exact" and self.num_clusters > MOST_EXACT and not self.utility.has_closed_form:
            raise ConfigError(
                f"scorer.estimator=exact with scorer.num_clusters={self.num_clusters} needs {2**self.num_clusters:,} "
                f"evaluations of the utility; use at most scorer.num_clusters={MOST_EXACT}, scorer.estimator=halves, "
                "or utility@scorer.utility=knn, which has a closed form"
            )

    @property
    def needs(self) -> frozenset[str]:
        return self.utility.needs

    @property
    def meaning(self) -> Meaning:
        name = {"halves": "Banzhaf value", "removal": "removal value"}.get(self.estimator, "Shapley value")
        explanation = f"How much the proxy document of its cluster adds to {self.utility.words}."
        return Meaning(f"{name} of the cluster", "utility", "higher", explanation)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        """Return scores [R]; clusters are those of all candidates, whichever are scored."""
        corpus, evidence = pool.candidates.corpus, pool.evidence
        self.utility.check(pool)
        with evidence.phase("encoding"):
            vectors_ND = embeddings_stage(pool.resources, self.encoder, corpus, np.arange(len(corpus.ids)))
        check_vectors(vectors_ND, corpus.ids)
        with evidence.phase("clustering"):
            key = "scorer.num_clusters"
            draws = generator(self.seed, "clusters of SHED")
            clusters = clustered(vectors_ND, corpus.ids, self.num_clusters, draws, key)
        self._check_groups(len(clusters))
        game = Game(self.utility.open(pool, clusters.proxies_C, self.encoder), corpus.ids[clusters.proxies_C])
        with evidence.phase("valuation"):
            estimate = self._estimate(game)
            found = Found(clusters, estimate, apart(estimate.values), game.nothing, game.everything, game.num_asked)
        show(pool, found, self.meaning)
        return found.scores_C[clusters.of_N][pool.rows]

    def _check_groups(self, count: int) -> None:
        if self.estimator == "removal" and self.groups_of > count:
            raise ConfigError(
                f"scorer.groups_of={self.groups_of} is more than the {count} clusters there are; lower it"
            )

    def _estimate(self, game: Game) -> Estimate:
        draws, count = generator(self.seed, "orders of clusters"), game.num_clusters
        if self.estimator == "exact":
            values_C = game.worth.shapley() if isinstance(game.worth, Solved) else exact(game)
            return Estimate(values_C, np.zeros(count))
        if self.estimator == "halves":
            return halves(game, draws.random((self.iterations, count)) < 0.5)
        orders_KC = draws.permuted(np.tile(np.arange(count), (self.iterations, 1)), axis=1)
        if self.estimator == "removal":
            return removal(game, orders_KC, self.groups_of)
        return permutation(game, orders_KC, self.tolerance)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of the encoder, and of the utility for the most evaluations there can be."""
        count, times = min(self.num_clusters, len(sizes.lengths_N)), self.iterations
        most = {
            "exact": 1 if self.utility.has_closed_form else 2**count,
            "permutation": times * (count - 1) + 2,
            "removal": times * (-(-count // self.groups_of) - 1) + 2,
            "halves": 2 * times + 2,
        }
        encoded = sizes.with_documents(sizes.num_target) if self.utility.encodes_target else sizes
        encoding = self.encoder.forecast(encoded, resources)
        asked = Asked(most[self.estimator], count, times if self.estimator in ("permutation", "removal") else 0)
        return [*encoding, *self.utility.forecast(sizes, resources, asked)]


def apart(values_C: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the values in single precision, all different: of equal ones the later is raised to the next number."""
    scores_C = values_C.astype(np.float32)
    order = np.argsort(scores_C, kind="stable")
    for before, after in pairwise(order):
        scores_C[after] = max(scores_C[after], np.nextafter(scores_C[before], np.float32(np.inf)))
    return scores_C
