"""The worth of proxies as nearest neighbours.

T target documents, C proxies, K neighbours, D numbers of a vector, M sets.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from delt_exp.scorer.utility.game import Floats, Sets


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

    def along(self, order_C: NDArray[np.intp]) -> Iterator[float]:
        """Yield the worth of the first proxy of an order, of the first two, and so on; O(T K) each."""
        num_targets, count = self.order_TC.shape
        is_right_TP = np.pad(self.is_right_TC, ((0, 0), (0, 1)))  # the last place stands for a missing neighbour
        places_TK, num_right = np.full((num_targets, self.num_neighbours), count), 0
        for proxy in order_C:
            place_T, farthest_T = self._places[:, proxy], places_TK.argmax(1)
            (rows,) = np.nonzero(place_T < places_TK.max(1))
            left = places_TK[rows, farthest_T[rows]]
            num_right += int(is_right_TP[rows, place_T[rows]].sum()) - int(is_right_TP[rows, left].sum())
            places_TK[rows, farthest_T[rows]] = place_T[rows]
            yield num_right / (self.num_neighbours * num_targets)

    @cached_property
    def _places(self) -> NDArray[np.intp]:
        """Which nearest proxy of a target row each proxy is, from 0."""
        return np.argsort(self.order_TC, axis=1)

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
