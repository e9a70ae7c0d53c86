"""Utilities of frozen embeddings: what a linear head or nearest neighbours say of the target.

T target documents, C proxies, D numbers of a vector, L labels, M sets.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, PositiveFloat, Seed, Several, settings
from delt_exp.encoder.base import Encoder
from delt_exp.encoder.clusters import clustered, nearest
from delt_exp.encoder.stage import embeddings_stage
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.resources import Resources
from delt_exp.rows.draws import generator
from delt_exp.scorer.base import Pool
from delt_exp.scorer.shed.game import Floats, Sets


@dataclass(frozen=True, eq=False)
class RidgeWorth:
    """-MSE on the target of ridge regression on a set, without intercept; of nothing it predicts 0.

    The squared error is summed over outputs and averaged over target rows.
    """

    inputs_CD: Floats
    outputs_CL: Floats
    target_TD: Floats
    target_TL: Floats
    penalty: float

    def of(self, sets_MC: Sets) -> Floats:
        return np.array([self._of_one(np.flatnonzero(members_C)) for members_C in sets_MC])

    def _of_one(self, members: NDArray[np.intp]) -> float:
        inputs_SD, outputs_SL = self.inputs_CD[members], self.outputs_CL[members]
        if len(members) < inputs_SD.shape[1]:  # the smaller of two equivalent systems
            gram = inputs_SD @ inputs_SD.T + self.penalty * np.eye(len(members))
            weights_DL = inputs_SD.T @ np.linalg.solve(gram, outputs_SL)
        else:
            gram = inputs_SD.T @ inputs_SD + self.penalty * np.eye(inputs_SD.shape[1])
            weights_DL = np.linalg.solve(gram, inputs_SD.T @ outputs_SL)
        return -float(np.square(self.target_TD @ weights_DL - self.target_TL).sum(1).mean())


@dataclass(frozen=True, eq=False)
class NeighbourWorth:
    """Share of target rows that the nearest members label right: of `num_neighbours`, or of as many as there are.

    Missing neighbours count as wrong ones, so that the worth of nothing is 0 (Jia et al. 2019, arXiv:1908.08619).
    is_right_TC: whether a proxy has the label of a target row, the nearest proxy first. order_TC: which proxy it is.
    """

    order_TC: NDArray[np.intp]
    is_right_TC: NDArray[np.bool_]
    num_neighbours: int

    @classmethod
    def between(
        cls, vectors_CD: Floats, labels_C: NDArray[np.intp], target_TD: Floats, labels_T: NDArray[np.intp], num: int
    ) -> "NeighbourWorth":
        """Return the worth of proxies with labels for a target with labels; of equal distances the earlier proxy."""
        distances_TC = (vectors_CD**2).sum(1) - 2 * target_TD @ vectors_CD.T
        order_TC = np.argsort(distances_TC, axis=1, kind="stable")
        return cls(order_TC, labels_C[order_TC] == labels_T[:, None], num)

    def of(self, sets_MC: Sets) -> Floats:
        worth_M = np.empty(len(sets_MC))
        for place, members_C in enumerate(sets_MC):
            is_in_TC = members_C[self.order_TC]
            counts_TC = is_in_TC & self.is_right_TC & (np.cumsum(is_in_TC, axis=1) <= self.num_neighbours)
            worth_M[place] = counts_TC.sum() / (self.num_neighbours * len(counts_TC))
        return worth_M

    def shapley(self) -> Floats:
        """Return the Shapley values [C] in O(C log C) for each target row, by the recursion of Jia et al., theorem 1.

        From the farthest proxy, right/max(K, C), each nearer one differs by (right - right of the next) / K *
        min(K, place) / place.
        """
        right_TC = self.is_right_TC.astype(np.float64)
        count, num = right_TC.shape[1], self.num_neighbours
        places = np.arange(1, count)
        steps_TC = -np.diff(right_TC, axis=1) / num * np.minimum(num, places) / places
        last_T1 = right_TC[:, -1:] / max(num, count)
        sums_TC = np.cumsum(np.hstack([last_T1, steps_TC[:, ::-1]]), axis=1)[:, ::-1]
        return np.bincount(self.order_TC.ravel(), sums_TC.ravel(), minlength=count) / len(right_TC)


@settings
class RidgeUtility:
    """-MSE of a linear head that learns from embeddings of the proxies which of `num_labels` clusters they belong to.

    The clusters are those of the embeddings of the target documents, on which the error is measured; a proxy has the
    label of the nearest one. penalty: of the ridge regression, on embeddings of length 1. Nothing is trained.
    """

    VERSION: ClassVar[int] = 1
    encodes_target: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"target"})
    words: ClassVar[str] = "a linear head that tells the topics of the target apart (-MSE)"
    num_labels: Several
    penalty: PositiveFloat
    seed: Seed

    def open(self, pool: Pool, proxies_C: NDArray[np.intp], encoder: Encoder) -> RidgeWorth:
        vectors_CD, labels_C, target_TD, labels_T = _labelled(pool, proxies_C, encoder, self.num_labels, self.seed)
        codes = np.eye(int(labels_T.max()) + 1)
        return RidgeWorth(vectors_CD, codes[labels_C], target_TD, codes[labels_T], self.penalty)

    def forecast(self, sizes: Sizes, resources: Resources, num_sets: int) -> list[PhaseCost]:
        """Return nothing: it costs next to nothing beside the embeddings."""
        return []


@settings
class NeighbourUtility:
    """Share of target documents that their `num_neighbours` nearest proxies put into the right topic.

    Topics are `num_labels` clusters of the target, as in `RidgeUtility`. The Shapley values have a closed form, which
    `estimator=exact` uses for any number of clusters.
    """

    VERSION: ClassVar[int] = 1
    encodes_target: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"target"})
    words: ClassVar[str] = "nearest neighbours that tell the topics of the target apart (share that is right)"
    num_labels: Several
    num_neighbours: Count
    seed: Seed

    def open(self, pool: Pool, proxies_C: NDArray[np.intp], encoder: Encoder) -> NeighbourWorth:
        labelled = _labelled(pool, proxies_C, encoder, self.num_labels, self.seed)
        return NeighbourWorth.between(*labelled, self.num_neighbours)

    def forecast(self, sizes: Sizes, resources: Resources, num_sets: int) -> list[PhaseCost]:
        """Return nothing: it costs next to nothing beside the embeddings."""
        return []


def _labelled(
    pool: Pool, proxies_C: NDArray[np.intp], encoder: Encoder, num_labels: int, seed: int
) -> tuple[Floats, NDArray[np.intp], Floats, NDArray[np.intp]]:
    """Return vectors and labels of the proxies and of the target."""
    assert pool.target is not None
    target = pool.target.corpus
    target_TD = embeddings_stage(pool.resources, encoder, target, np.arange(len(target.ids)))
    every = np.arange(len(pool.candidates.corpus.ids))
    vectors_CD = embeddings_stage(pool.resources, encoder, pool.candidates.corpus, every)[proxies_C]
    draws = generator(seed, "clusters of the target")
    found = clustered(target_TD, target.ids, num_labels, draws, "scorer.utility.num_labels")
    labels_C = nearest(vectors_CD, found.centres_CD)
    return np.asarray(vectors_CD, np.float64), labels_C, np.asarray(target_TD, np.float64), found.of_N
