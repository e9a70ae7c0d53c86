"""Utilities of frozen embeddings: what a linear head or nearest neighbours say of the target.

T target documents, C proxies, D numbers of a vector, L labels, M sets.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, PositiveFloat, Seed, Several, settings
from delt_exp.encoder.base import Encoder
from delt_exp.encoder.clusters import clustered, nearest
from delt_exp.encoder.stage import check_vectors, embeddings_stage
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.resources import Resources
from delt_exp.rows.draws import generator
from delt_exp.scorer.base import Pool
from delt_exp.scorer.utility.game import Asked, Floats
from delt_exp.scorer.utility.neighbours import NeighbourWorth
from delt_exp.scorer.utility.ridge import RidgeWorth

WIDTH = 384  # numbers of a vector, for a forecast: as MiniLM has


@settings
class RidgeUtility:
    """-MSE of a linear head that learns from embeddings of the proxies which of `num_labels` clusters they belong to.

    The clusters are those of the embeddings of the target documents, on which the error is measured; a proxy has the
    label of the nearest one. penalty: of the ridge regression, on embeddings of length 1. Nothing is trained.
    """

    VERSION: ClassVar[int] = 1
    encodes_target: ClassVar[bool] = True
    has_closed_form: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset({"target"})
    words: ClassVar[str] = "a linear head that tells the topics of the target apart (-MSE)"
    num_labels: Several
    penalty: PositiveFloat
    seed: Seed

    def check(self, pool: Pool) -> None:
        """Any target will do."""

    def open(self, pool: Pool, proxies_C: NDArray[np.intp], encoder: Encoder) -> RidgeWorth:
        vectors_CD, labels_C, target_TD, labels_T = _labelled(pool, proxies_C, encoder, self.num_labels, self.seed)
        codes = np.eye(int(labels_T.max()) + 1)
        return RidgeWorth(vectors_CD, codes[labels_C], target_TD, codes[labels_T], self.penalty)

    def forecast(self, sizes: Sizes, resources: Resources, asked: Asked) -> list[PhaseCost]:
        """Return the arithmetic of all heads, on vectors of WIDTH numbers: a system for each set, or updates of one."""
        members = asked.num_clusters / 2  # of a set, on average
        side, target = min(members, WIDTH), 2 * WIDTH * self.num_labels * sizes.num_target
        system = 2 * members * WIDTH * side + 2 / 3 * side**3 + target
        updates = asked.num_orders * asked.num_clusters * 8 * WIDTH**2  # inverse, target and, now and then, all anew
        held = 8 * WIDTH * (asked.num_clusters + sizes.num_target + 4 * WIDTH)
        return [PhaseCost("valuation", 0, updates or asked.num_sets * system, held)]


@settings
class NeighbourUtility:
    """Share of target documents that their `num_neighbours` nearest proxies put into the right topic.

    Topics are `num_labels` clusters of the target, as in `RidgeUtility`. The Shapley values have a closed form, which
    `estimator=exact` uses for any number of clusters.
    """

    VERSION: ClassVar[int] = 1
    encodes_target: ClassVar[bool] = True
    has_closed_form: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"target"})
    words: ClassVar[str] = "nearest neighbours that tell the topics of the target apart (share that is right)"
    num_labels: Several
    num_neighbours: Count
    seed: Seed

    def check(self, pool: Pool) -> None:
        """Any target will do."""

    def open(self, pool: Pool, proxies_C: NDArray[np.intp], encoder: Encoder) -> NeighbourWorth:
        labelled = _labelled(pool, proxies_C, encoder, self.num_labels, self.seed)
        return NeighbourWorth.between(*labelled, self.num_neighbours)

    def forecast(self, sizes: Sizes, resources: Resources, asked: Asked) -> list[PhaseCost]:
        """Return the arithmetic of all distances, of vectors of WIDTH numbers, and the looks at neighbours."""
        target, looked_at = sizes.num_target, self.num_neighbours if asked.num_orders else asked.num_clusters
        flops = target * (2 * WIDTH * asked.num_clusters + asked.num_sets * looked_at)
        held = 8 * target * (2 * asked.num_clusters + WIDTH)
        return [PhaseCost("valuation", 0, float(flops), held)]


def _labelled(
    pool: Pool, proxies_C: NDArray[np.intp], encoder: Encoder, num_labels: int, seed: int
) -> tuple[Floats, NDArray[np.intp], Floats, NDArray[np.intp]]:
    """Return vectors and labels of the proxies and of the target."""
    assert pool.target is not None
    target = pool.target.corpus
    target_TD = embeddings_stage(pool.resources, encoder, target, np.arange(len(target.ids)))
    check_vectors(target_TD, target.ids)
    every = np.arange(len(pool.candidates.corpus.ids))
    vectors_CD = embeddings_stage(pool.resources, encoder, pool.candidates.corpus, every)[proxies_C]
    draws = generator(seed, "clusters of the target")
    found = clustered(target_TD, target.ids, num_labels, draws, "scorer.utility.num_labels")
    labels_C = nearest(vectors_CD, found.centres_CD)
    return np.asarray(vectors_CD, np.float64), labels_C, np.asarray(target_TD, np.float64), found.of_N
