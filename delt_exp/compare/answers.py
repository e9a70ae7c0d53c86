"""What a model did on every item of a task, from whatever file it comes.

Shape suffix: N items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import DataError
from delt_exp.quantity import Direction
from delt_exp.statistics.inputs import finite


@dataclass(frozen=True)
class Choice:
    """What is compared, as the user asked for it.

    metrics: of lm-eval, the first of these that a task has; empty for the usual one. filter: of lm-eval, None for the
    first. tasks: names of tasks and groups, empty for all. better: the direction of metrics whose files do not tell it.
    cluster: column, or field of lm-eval's documents, whose equal values belong together, None for none. any_prompt:
    whether equal documents may be asked with different prompts.
    """

    metrics: Sequence[str] = ()
    filter: str | None = None
    tasks: Sequence[str] = ()
    better: Direction | None = None
    cluster: str | None = None
    any_prompt: bool = False

    def direction(self, known: Direction | None, place: str) -> Direction:
        """Return which values are better; raises DataError where neither the files nor the user tell it."""
        better = known or self.better
        if better is None:
            raise DataError(
                f"{place}: nothing says which values are better; add --higher-is-better or --lower-is-better"
            )
        return better


@dataclass(frozen=True, eq=False)
class Answers:
    """One model on one task; one entry per item, items ascending by name.

    sums_N: value of the metric, summed over what an item stands for; sizes_N: how much that is (tokens, words, rows).
    The mean is sum(sums_N) / sum(sizes_N), in `unit`. settings: what must be equal for a comparison (version, number
    of few-shot examples). hashes: of each item, by what they are of (document, target, prompt). clusters_N: names of
    what items have in common, None where each is on its own. num_rows: rows of the file; more than items where an item
    was asked repeatedly.
    """

    metric: str
    unit: str
    better: Direction
    items_N: NDArray[Any]
    sums_N: NDArray[np.float64]
    sizes_N: NDArray[np.float64]
    num_rows: int
    settings: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    clusters_N: NDArray[Any] | None = None

    @property
    def mean(self) -> float:
        """The value of the task, in `unit`."""
        return float(self.sums_N.sum() / self.sizes_N.sum())


@dataclass(frozen=True, eq=False)
class ReadResults:
    """What a path holds: answers by seed and task. `seed` None: one model whose seed the files do not tell.

    groups: the tasks of each group, which may be groups themselves. notes: what was chosen or left out, in sentences.
    """

    by_seed: Mapping[int | None, Mapping[str, Answers]]
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: Sequence[str] = ()


def chosen_tasks(
    path: Path, tasks: Sequence[str], groups: Mapping[str, Sequence[str]], wanted: Sequence[str]
) -> list[str]:
    """Return the tasks that are wanted by their own name or that of a group; raises DataError for one that is none."""
    unknown = [name for name in wanted if name not in tasks and name not in groups]
    if unknown:
        raise DataError(f"{path} has no task {unknown[0]!r}; it has {', '.join([*tasks, *groups])}")

    def inside(name: str) -> set[str]:
        return {name}.union(*(inside(child) for child in groups.get(name, ())))

    inner = set().union(*map(inside, wanted)) if wanted else set(tasks)
    return [name for name in tasks if name in inner]


Column = NDArray[Any] | Sequence[Any]


def by_item(
    place: Path | str, items: Column, sums: Column, sizes: Column, labels: Mapping[str, Column]
) -> dict[str, Any]:
    """Return the columns of `Answers`, items ascending; rows of one item are added up.

    labels: further columns that rows of one item have in common, `cluster` and hashes. Raises DataError for values that
    are not finite and for labels that differ within an item.
    """
    sums_R = finite(f"value in {place}", np.asarray(sums, np.float64))
    sizes_R = finite(f"size in {place}", np.asarray(sizes, np.float64))
    items_N, first_N, item_R = np.unique(np.asarray(items, np.str_), return_index=True, return_inverse=True)
    columns: dict[str, Any] = {"items_N": items_N, "hashes": {}}
    for name, column in labels.items():
        values_R = np.asarray(column, np.str_)
        other = np.flatnonzero(values_R[first_N][item_R] != values_R)
        if len(other):
            raise DataError(
                f"{place}: rows of item {items_N[item_R[other[0]]]!r} differ in their {name}: two evaluations "
                "lie in one place; separate them, or give each item a unique name"
            )
        if name == "cluster":
            columns["clusters_N"] = values_R[first_N]
        else:
            columns["hashes"][name] = values_R[first_N]
    count = len(items_N)
    return columns | {
        "num_rows": len(item_R),
        "sums_N": np.bincount(item_R, sums_R, count),
        "sizes_N": np.bincount(item_R, sizes_R, count),
    }
