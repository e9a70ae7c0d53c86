"""The page of a comparison: the answer in words, a forest plot, and tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from delt_exp.compare.arms import Read
from delt_exp.compare.verdicts import OVERALL, Verdict
from delt_exp.compare.words import sentences
from delt_exp.report.findings import Cell, Difference, Figure, Findings, Table
from delt_exp.study.figures import chooser
from delt_exp.study.forest import forest
from delt_exp.study.page import rendered, write_pages


@dataclass(frozen=True, eq=False)
class Report:
    """All verdicts of a comparison at level `alpha`, for a reader."""

    read: Read
    verdicts: Sequence[Verdict]
    alpha: float

    def write(self, folder: Path) -> Path:
        """Write report.html, tables/verdicts and tables/means to `folder`, and return the page."""
        baseline, *others = [arm.name for arm in self.read.arms]
        answer = sentences(others, self.verdicts, self.alpha)
        findings = Findings("\n".join(answer), [self._forest()], [self._table(), self._means()])
        question = f"{' or '.join(others)} instead of {baseline}?"
        page = rendered("compare/compare.html.j2", findings, question=question, notes=self.read.notes)
        return write_pages(folder, findings, page)

    @property
    def _baseline(self) -> str:
        return self.read.arms[0].name

    def _table(self) -> Table:
        rows: list[list[Cell]] = []
        for one in self.verdicts:
            pair, (value, other) = one.comparison, one.values
            metric = one.metric if one.metric == pair.unit else f"{one.metric} [{pair.unit}]"
            rows.append([
                one.label, one.word, _difference(one), pair.first, metric, pair.p_holm, one.smallest,
                value, other, pair.p, one.num_items, len(one.seeds), pair.estimate.over.replace("documents", "items"),
            ])  # fmt: skip
        columns = [
            "task", "verdict", f"minus {self._baseline}", "result", "metric", "p (Holm)", "minimum detectable effect",
            "value", f"value of {self._baseline}", "p", "items", "seeds", "interval over",
        ]  # fmt: skip
        overall = sum(one.level == OVERALL for one in self.verdicts)
        families = [f"{overall} over all tasks"] if overall else []
        families.append(f"{len(self.verdicts) - overall} of tasks and groups")
        note = (
            "Paired over items, and over seeds where both sides have the same ones. A mean over tasks gives each task "
            "or group the same weight. "
            f"Comparisons, Holm-corrected in families: {', '.join(families)}. Minimum detectable effect: the true "
            "difference that is detected with 80 % power at Holm's strictest level, given this noise."
        )
        return Table("verdicts", "Verdicts", note, columns, rows, is_answer=True)

    def _means(self) -> Table:
        rows: list[list[Cell]] = []
        first = self.read.arms[1].name
        for number, arm in enumerate(self.read.arms):
            owner, side = (arm.name, 0) if number else (first, 1)  # the baseline stands in every comparison
            rows += [
                [
                    one.place,
                    arm.name,
                    one.metric,
                    one.values[side],
                    one.errors[side],
                    one.comparison.unit,
                    one.num_items,
                ]
                for one in self.verdicts
                if one.errors is not None and one.comparison.first == owner
            ]
        columns = ["task", "result", "metric", "value", "standard error", "unit", "items"]
        note = "Every mean has its own standard error. Paired differences have smaller errors than these suggest."
        return Table("means", "Each result on its own", note, columns, rows)

    def _forest(self) -> Figure:
        units = dict.fromkeys(one.comparison.unit for one in self.verdicts)
        note = (
            "Paired differences with uncorrected intervals; filled points are better or worse after Holm's "
            f"correction. 0 is {self._baseline}."
        )
        plots = {unit: self._forest_of(unit) for unit in units}
        return Figure("verdicts", f"Differences from {self._baseline}", note, chooser(plots).to_plotly_json())

    def _forest_of(self, unit: str) -> Any:
        here = [one for one in self.verdicts if one.comparison.unit == unit]
        groups: dict[str, dict[str, Difference]] = {}
        for one in here:
            groups.setdefault(one.comparison.first, {})[one.label] = _difference(one)
        rows = [*dict.fromkeys(one.label for one in here), self._baseline]
        order = [arm.name for arm in self.read.arms[1:]]
        return forest({name: groups[name] for name in order if name in groups}, rows, self._baseline, unit)


def _difference(one: Verdict) -> Difference:
    pair = one.comparison
    return Difference(pair.estimate.value, *pair.interval, pair.better, one.word)
