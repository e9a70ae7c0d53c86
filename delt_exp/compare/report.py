"""What the verdicts say: in words, as a forest plot, and as tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from delt_exp.compare.arms import Read
from delt_exp.compare.verdicts import OVERALL, Verdict
from delt_exp.quantity import Ranged
from delt_exp.report.findings import Cell, Figure, Findings, Table
from delt_exp.study.figures import LINE, chooser, colour, error_bars, figure, symbol
from delt_exp.study.page import rendered, write_pages

NOT = "not distinguishable"


@dataclass(frozen=True, eq=False)
class Report:
    """All verdicts of a comparison at level `alpha`, for a reader."""

    read: Read
    verdicts: Sequence[Verdict]
    alpha: float

    @property
    def question(self) -> str:
        """What was asked."""
        baseline, *others = [arm.name for arm in self.read.arms]
        return f"{' or '.join(others)} instead of {baseline}?"

    def findings(self) -> Findings:
        """Return answer, figure and tables."""
        return Findings(" ".join(self.sentences()), [self._forest()], [self._table(), self._means()])

    def write(self, folder: Path) -> Path:
        """Write report.html and the tables to `folder` and return the page."""
        findings = self.findings()
        page = rendered("compare/compare.html.j2", findings, question=self.question, notes=self.read.notes)
        return write_pages(folder, findings, page)

    def sentences(self) -> list[str]:
        """Return the answer: a verdict for each arm, how many tasks agree, and what the intervals do not cover."""
        return [*(said for arm in self.read.arms[1:] for said in self._about(arm.name)), *self._limits()]

    def lines(self) -> list[str]:
        """Return one line for each comparison, for a terminal."""
        rows = [
            (
                _place(one),
                f"{one.comparison.first} - {one.comparison.second}",
                f"{_signed(one.comparison.estimate.value)} {_interval(one.comparison.interval)} {one.comparison.unit}",
                f"p {one.comparison.p_holm:.2g}",
                one.word,
            )
            for one in self.verdicts
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]

    def _about(self, name: str) -> list[str]:
        mine = [one for one in self.verdicts if one.comparison.first == name]
        tasks = [one for one in mine if one.level == "task"]
        whole = [one for one in mine if one.level == OVERALL] or tasks[:1]
        said = [self._sentence(one) for one in whole]
        if len(tasks) > 1:
            count = {word: sum(one.word == word for one in tasks) for word in ("better", "worse", NOT)}
            said.append(
                f"Of its {len(tasks)} tasks, {count['better']} are better, {count['worse']} worse, {count[NOT]} {NOT}."
            )
        return said

    def _sentence(self, one: Verdict) -> str:
        pair = one.comparison
        over = f"mean over {one.num_tasks} tasks" if one.num_tasks > 1 else one.place
        size = f"{_signed(pair.estimate.value)} {pair.unit} {_interval(pair.interval)} ({one.metric}, {over})"
        if pair.estimate.stderr == 0:
            return f"{pair.first} and {pair.second} differ by the same on every item: {size}; nothing varies, so nothing is tested."
        if one.word != NOT:
            return f"{pair.first} is {one.word} than {pair.second}: {size}."
        return (
            f"{pair.first} and {pair.second} are {NOT}: {size}; a difference of {abs(pair.detectable):.2g} would have been seen "
            "with a chance of 80 %."
        )

    def _limits(self) -> list[str]:
        said = [f"Intervals are {100 * (1 - self.alpha):g} %, verdicts are corrected for all comparisons (Holm)."]
        if len(self.verdicts[0].seeds) == 1:
            said.append(
                "Each was trained once: intervals are over items, and another training run of either could differ by more."
            )
        if any(one.comparison.estimate.few_documents for one in self.verdicts):
            said.append(
                "Some tasks have fewer than 100 items of unequal length: a difference may be one of long items only."
            )
        return said

    def _table(self) -> Table:
        rows: list[list[Cell]] = []
        for one in self.verdicts:
            pair, (value, other) = one.comparison, one.values
            rows.append([
                _place(one), one.word, pair.first, Ranged(pair.estimate.value, *pair.interval), pair.unit, one.metric, value, other,
                pair.p, pair.p_holm, abs(pair.detectable), one.num_items, len(one.seeds), _over(one),
            ])  # fmt: skip
        baseline = self.read.arms[0].name
        columns = [
            "task", "verdict", "of", f"minus {baseline}", "unit", "metric", "value", f"value of {baseline}", "p", "p (Holm)",
            "smallest detectable difference", "items", "seeds", "interval over",
        ]  # fmt: skip
        sizes = [sum(one.level == OVERALL for one in self.verdicts), sum(one.level != OVERALL for one in self.verdicts)]
        note = (
            "Paired: the same items, the same seeds. A mean over tasks gives each task or group the same weight. "
            f"Corrected after Holm in two families: {sizes[0]} comparisons over all tasks, {sizes[1]} of tasks and groups. "
            "Smallest detectable difference: the true one that is found with a chance of 80 % at Holm's strictest level, given "
            "this noise."
        )
        return Table("verdicts", "Verdicts", note, columns, rows)

    def _means(self) -> Table:
        rows: list[list[Cell]] = []
        baseline = self.read.arms[0].name
        for number, arm in enumerate(self.read.arms):
            first = self.read.arms[1].name
            for one in self.verdicts:
                if one.errors is None or one.comparison.first != (arm.name if number else first):
                    continue
                side = 0 if number else 1
                rows.append(
                    [
                        one.place,
                        arm.name,
                        one.metric,
                        one.values[side],
                        one.errors[side],
                        one.comparison.unit,
                        one.num_items,
                    ]
                )
        columns = ["task", "result", "metric", "value", "standard error", "unit", "items"]
        note = (
            f"Each result on its own, {baseline} first; with one seed the standard error of lm-eval. Differences are paired and "
            "have smaller errors than these suggest."
        )
        return Table("means", "Each result on its own", note, columns, rows)

    def _forest(self) -> Figure:
        units = dict.fromkeys((one.comparison.unit, one.comparison.better) for one in self.verdicts)
        plots = {unit: self._forest_of(unit, better) for unit, better in units}
        note = (
            "Points: paired difference with its interval, each on its own; filled where it is clear after Holm's correction. "
            f"0 is {self.read.arms[0].name}."
        )
        return Figure("forest", f"Differences from {self.read.arms[0].name}", note, chooser(plots).to_plotly_json())

    def _forest_of(self, unit: str, better: str) -> Any:
        here = [one for one in self.verdicts if (one.comparison.unit, one.comparison.better) == (unit, better)]
        traces = [self._points(here, arm.name, number) for number, arm in enumerate(self.read.arms[1:])]
        places = list(dict.fromkeys(_place(one) for one in here))
        several = len(traces) > 1
        sides = ("better", "worse") if better == "lower" else ("worse", "better")
        return figure(
            traces,
            150 + (26 + 16 * (len(traces) - 1)) * len(places),
            margin={"l": 10, "r": 20, "t": 30},
            showlegend=several,
            scattermode="group",
            legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
            xaxis={
                "title": {"text": f"{sides[0]} ← 0 → {sides[1]}<br>difference [{unit}]"},
                "zeroline": True,
                "zerolinecolor": LINE,
            },
            yaxis={"automargin": True, "type": "category", "categoryorder": "array", "categoryarray": places[::-1]},
        )

    def _points(self, verdicts: Sequence[Verdict], name: str, number: int) -> Any:
        mine = [one for one in verdicts if one.comparison.first == name]
        shape = symbol(number)
        return go.Scatter(
            name=name,
            orientation="h",
            x=[one.comparison.estimate.value for one in mine],
            y=[_place(one) for one in mine],
            error_x=error_bars([Ranged(one.comparison.estimate.value, *one.comparison.interval) for one in mine]),
            text=[_signed(one.comparison.estimate.value) for one in mine],
            textposition="top center",
            textfont={"size": 10},
            customdata=[[one.word, one.comparison.p_holm] for one in mine],
            hovertemplate=f"{name}, %{{y}}<br>%{{x:+.4g}}<br>%{{customdata[0]}}, p %{{customdata[1]:.2g}}<extra></extra>",
            mode="markers+text",
            marker={
                "color": colour(number),
                "size": 9,
                "symbol": [shape if one.word != NOT else f"{shape}-open" for one in mine],
            },
        )


def _place(one: Verdict) -> str:
    return one.place if one.level == "task" else f"{one.place} ({one.num_tasks} tasks)"


def _over(one: Verdict) -> str:
    return one.comparison.estimate.over.replace("documents", "items")


def _signed(value: float) -> str:
    return f"{value:+.3g}"


def _interval(ends: tuple[float, float]) -> str:
    return f"[{ends[0]:.3g}, {ends[1]:.3g}]"
