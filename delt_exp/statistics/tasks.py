"""A mean, or a difference of two systems, over several tasks: every task counts the same, whatever its items are.

Shape suffixes: S seeds, D items of a task. A task is a list of groups [S, D] over the same items, which are added up:
one group for a system alone and for differences taken seed by seed, two for systems whose seeds are others (the second
with its sign turned). All tasks have the same groups and seeds.

The tasks are these very ones, not draws from more. With T of them, y_s the mean over tasks of a group's value at seed
s, and the terms of `paired`, whose estimate this is for one task and one group,

    V = sum_groups Var(y_s) / S + max(sum_tasks (MS_D - MS_R) / (S D), 0) / T^2,

because items of two tasks have nothing in common and seeds have: a seed that is better is so on all tasks. Each group
is a part with S - 1 degrees of freedom, items are one with those of Welch (1947) over tasks.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import DataError
from delt_exp.statistics.inputs import check_lengths, finite
from delt_exp.statistics.paired import FEW_DOCUMENTS, Estimate, Over, deviations, over_documents

Groups = Sequence[NDArray[np.float64]]


class _Task(NamedTuple):
    """values: of each seed, by group; over_items, rest: variances of the task's value, rest with its seeds only."""

    values: list[NDArray[np.float64]]
    over_items: float
    df: float
    rest: float
    spread: float
    few_items: bool


def mean_over_tasks(tasks: Sequence[tuple[Groups, NDArray[np.float64]]]) -> Estimate:
    """Return the mean over tasks of sum(sums) / sum(sizes); each task: its groups of sums [S, D] and the sizes [D].

    Raises DataError for values not finite, sizes not positive, and a single item with a single seed: no error then.
    """
    parts = [_task(groups, sizes_D) for groups, sizes_D in tasks]
    groups = [np.mean(values, axis=0) for values in zip(*(part.values for part in parts), strict=True)]
    num_seeds, num_items = min(map(len, groups)), min(len(sizes_D) for _, sizes_D in tasks)
    if num_seeds == 1 and num_items == 1:
        raise DataError("one seed with one item has no error; give more items, or more seeds")
    variances, dfs = [], []
    if num_seeds > 1:
        variances += [float(values_S.var(ddof=1)) / len(values_S) for values_S in groups]
        dfs += [float(len(values_S) - 1) for values_S in groups]
    if num_items > 1:
        over_items = sum(part.over_items for part in parts)
        squares = sum(part.over_items**2 / part.df for part in parts)
        variances.append(max(over_items - sum(part.rest for part in parts), 0.0) / len(parts) ** 2)
        dfs.append(over_items**2 / squares if squares > 0 else min(part.df for part in parts))
    return Estimate(
        value=float(sum(values_S.mean() for values_S in groups)),
        variances=tuple(variances),
        dfs=tuple(dfs),
        spread=math.sqrt(sum(part.spread**2 for part in parts) / len(parts)),
        over=_over(num_seeds, num_items),
        few_documents=any(part.few_items for part in parts),
    )


def _over(num_seeds: int, num_items: int) -> Over:
    if num_items == 1:
        return "seeds"
    return "documents" if num_seeds == 1 else "seeds and documents"


def _task(groups: Groups, sizes: NDArray[np.float64]) -> _Task:
    sizes_D = finite("sizes", sizes)
    if sizes_D.min() <= 0:
        raise DataError(f"an item has the size {sizes_D.min():g}; sizes must be positive")
    num_items = len(sizes_D)
    mean_D = np.zeros(num_items)
    values, rest, observation = [], 0.0, 0.0
    for sums in groups:
        sums_SD = finite("sums", sums, 2)
        check_lengths(sizes=sizes_D, sums=sums_SD.T)
        value, z_SD, share_D = deviations(sums_SD, sizes_D)
        seed_S, num_seeds = z_SD.mean(1), len(sums_SD)
        values.append(value + seed_S)
        mean_D += z_SD.mean(0)
        if num_seeds > 1:
            rest_SD = z_SD - z_SD.mean(0) - seed_S[:, None] * share_D
            rest_ms = float(np.square(rest_SD).sum()) / ((num_seeds - 1) * max(num_items - 1, 1))
            rest += rest_ms / (num_seeds * num_items)
            observation += rest_ms + float(seed_S.var(ddof=1)) - rest_ms / num_items
    if num_items == 1:
        return _Task(values, 0.0, math.inf, 0.0, math.sqrt(observation), False)
    mean_square, df = over_documents(mean_D, sizes_D, 1)
    over_items = mean_square / num_items
    # One observation of each group on one item: the components of the variance, each estimated without bias.
    spread = math.sqrt(max(observation + num_items * (over_items - rest), 0.0))
    is_weighted = bool((sizes_D != sizes_D[0]).any())
    return _Task(values, over_items, df, rest, spread, is_weighted and num_items < FEW_DOCUMENTS)
