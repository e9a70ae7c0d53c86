"""The page of a comparison: the answer in words, a forest plot, and tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from delt_exp.compare.arms import Read
from delt_exp.compare.verdicts import NOT, OVERALL, Verdict
from delt_exp.compare.words import sentences, signed
from delt_exp.quantity import Ranged
from delt_exp.report.findings import Cell, Figure, Findings, Table
from delt_exp.study.figures import LINE, chooser, colour, error_bars, figure, symbol
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
        findings = Findings(" ".join(answer), [self._forest()], [self._table(), self._means()])
        question = f"{' or '.join(others)} instead of {baseline}?"
        page = rendered("compare/compare.html.j2", findings, question=question, answer=answer, notes=self.read.notes)
        return write_pages(folder, findings, page)

    @property
    def _baseline(self) -> str:
        return self.read.arms[0].name

    def _table(self) -> Table:
        rows: list[list[Cell]] = []
        for one in self.verdicts:
            pair, (value, other) = one.comparison, one.values
            metric = one.metric if one.metric == pair.unit else f"{one.metric} [{pair.unit}]"
            difference = Ranged(pair.estimate.value, *pair.interval)
            rows.append([
                one.label, one.word, pair.first, difference, metric, pair.p_holm, one.smallest,
                value, other, pair.p, one.num_items, len(one.seeds), pair.estimate.over.replace("documents", "items"),
            ])  # fmt: skip
        columns = [
            "task", "verdict", "of", f"minus {self._baseline}", "metric", "p (Holm)", "smallest detectable difference",
            "value", f"value of {self._baseline}", "p", "items", "seeds", "interval over",
        ]  # fmt: skip
        overall = sum(one.level == OVERALL for one in self.verdicts)
        families = [f"{overall} over all tasks"] if overall else []
        families.append(f"{len(self.verdicts) - overall} of tasks and groups")
        note = (
            "Paired over items, and over seeds where both sides have the same ones. A mean over tasks gives each task "
            "or group the same weight. "
            f"Comparisons, Holm-corrected in families: {', '.join(families)}. Smallest detectable difference: the true "
            "one that is found with a chance of 80 % at Holm's strictest level, given this noise."
        )
        return Table("verdicts", "Verdicts", note, columns, rows)

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
        note = "Each with the error of its own mean. Paired differences have smaller errors than these suggest."
        return Table("means", "Each result on its own", note, columns, rows)

    def _forest(self) -> Figure:
        units = dict.fromkeys((one.comparison.unit, one.comparison.better) for one in self.verdicts)
        plots = {unit: self._forest_of(unit, better) for unit, better in units}
        note = (
            "Paired differences with their intervals, each on its own; filled points are clear after Holm's "
            f"correction. 0 is {self._baseline}."
        )
        return Figure("forest", f"Differences from {self._baseline}", note, chooser(plots).to_plotly_json())

    def _forest_of(self, unit: str, better: str) -> Any:
        here = [one for one in self.verdicts if (one.comparison.unit, one.comparison.better) == (unit, better)]
        traces = [self._points(here, arm.name, number) for number, arm in enumerate(self.read.arms[1:])]
        places = list(dict.fromkeys(one.label for one in here))
        sides = ("better", "worse") if better == "lower" else ("worse", "better")
        title = f"{sides[0]} ← 0 → {sides[1]}<br>difference [{unit}]"
        return figure(
            traces,
            160 + (10 + 20 * len(traces)) * len(places),
            margin={"l": 10, "r": 20, "t": 30},
            showlegend=len(traces) > 1,
            scattermode="group",
            legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
            xaxis={"title": {"text": title}, "zeroline": True, "zerolinecolor": LINE},
            yaxis={
                "automargin": True,
                "type": "category",
                "categoryorder": "array",
                "categoryarray": places[::-1],
                "range": [-0.7, len(places) - 0.2],  # room for the number above the topmost point
            },
        )

    def _points(self, verdicts: Sequence[Verdict], name: str, number: int) -> Any:
        mine = [one for one in verdicts if one.comparison.first == name]
        differences = [Ranged(one.comparison.estimate.value, *one.comparison.interval) for one in mine]
        shapes = [symbol(number) + ("-open" if one.word == NOT else "") for one in mine]
        return go.Scatter(
            name=name,
            orientation="h",
            x=[difference.value for difference in differences],
            y=[one.label for one in mine],
            error_x=error_bars(differences),
            text=[signed(difference.value) for difference in differences],
            textposition="top center",
            textfont={"size": 10},
            customdata=[[one.word, one.comparison.p_holm] for one in mine],
            hovertemplate="%{y}<br>%{x:+.4g}<br>%{customdata[0]}, p (Holm) %{customdata[1]:.2g}",
            mode="markers+text",
            marker={"color": colour(number), "size": 9, "symbol": shapes},
        )
