"""What the combinations of a sweep gave: their results side by side, and which of them differ beyond chance."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from delt_exp.config.fields import ProperShare, settings
from delt_exp.errors import DataError
from delt_exp.report.findings import Cell, Findings, Table
from delt_exp.report.record import first_results
from delt_exp.statistics.families import Comparison
from delt_exp.study.comparison.arms import Panel, read_panels
from delt_exp.study.comparison.curves import training_curves
from delt_exp.study.comparison.leaderboard import pairs_table
from delt_exp.study.comparison.outcomes import LOSS
from delt_exp.study.comparison.pairs import Pairs, every_pair
from delt_exp.study.record import PlannedRun, StudyRecord


@settings
class CombinationsReport:
    """The report of a sweep, which has no baseline: every two combinations are compared, over seeds and documents."""

    alpha: ProperShare

    def findings(self, study: StudyRecord) -> Findings:
        """Return answer, results and, where losses on the same documents were measured, every pair."""
        table = _results(study.finished())
        panel = _panel(study)
        if panel is None or len(panel.arms) < 2:
            return Findings("Nothing to compare: see the table of results.", [], [table])
        (pairs,) = every_pair([panel], self.alpha)
        every = pairs_table("pairs", "Every pair", [panel], [pairs])
        return Findings(_answer(panel, pairs), [training_curves(panel)], [table, every])


def _panel(study: StudyRecord) -> Panel | None:
    try:
        (panel,) = read_panels(study, None, LOSS, {}, [])
    except DataError:  # no losses of documents, or none in common
        return None
    return panel


def _results(runs: Sequence[PlannedRun]) -> Table:
    """Return one row per combination: the mean over seeds of the first metric of each dataset."""
    arms: dict[tuple[tuple[str, str], ...], list[Mapping[str, float]]] = {}
    for run in runs:
        arms.setdefault(tuple(run.arm.items()), []).append(first_results(run.record() or {}))
    measures = list(dict.fromkeys(name for rows in arms.values() for row in rows for name in row))
    rows: list[list[Cell]] = []
    for arm, values in arms.items():
        means = [[row[name] for row in values if name in row] for name in measures]
        rows.append([*(v for _, v in arm), len(values), *(float(np.mean(m)) if m else None for m in means)])
    columns = [*(name for name, _ in next(iter(arms))), "seeds", *measures]
    return Table("results", "Results", "Mean over seeds.", columns, rows)


def _answer(panel: Panel, pairs: Pairs) -> str:
    best, second = panel.ranked[:2]
    pair = pairs.get((best.name, second.name)) or pairs.get((second.name, best.name))
    clear = sum(one.is_clear for one in pairs.values())
    estimate = best.outcome.estimate.value
    start = f"Lowest loss of {len(panel.arms)} combinations: {best.name} ({estimate:.4g} {best.outcome.unit})."
    total = len(list(combinations(panel.arms, 2)))
    chance = f"{clear} of {total} pairs differ by more than chance after Holm's correction."
    sizes = [len(arm.runs) for arm in panel.arms]
    seeds = ""
    if max(sizes) == 1:
        seeds = (
            " With one seed each this holds for these models only: add seed=0,1,2 to learn about other training runs."
        )
    elif min(sizes) == 1:
        seeds = f" {sizes.count(1)} of them have one seed only: what is said of these holds for these models."
    longer = f" {len(panel.longer)} trained on more tokens are not compared." if panel.longer else ""
    return f"{start} {against_next(pair, best.name, second.name)}{chance}{seeds}{longer}"


def against_next(pair: Comparison | None, best: str, second: str) -> str:
    """Say how the combination of lowest mean compares with the second, empty for None.

    It can be worse than the second: means are over all seeds of each, the comparison over those that both have.
    """
    if pair is None:
        return ""
    if not pair.is_clear:
        return f"It is not distinguishable from the next, {second}. "
    is_better, (low, high) = pair.is_better == (pair.first == best), sorted(map(abs, pair.interval))
    verdict = f"better than the next, {second}," if is_better else f"worse than {second} on the seeds that both have,"
    return f"It is {verdict} by {abs(pair.estimate.value):.3g} {pair.unit} [{low:.3g}, {high:.3g}]. "
