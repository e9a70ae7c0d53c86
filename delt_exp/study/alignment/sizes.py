"""Does what alignment says of the loss, and which metric says most, depend on the size of the model and its budget?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from delt_exp.config.fields import settings
from delt_exp.errors import DataError
from delt_exp.quantity import Ranged
from delt_exp.report.findings import Cell, Difference, Figure, Findings, Table
from delt_exp.statistics.correlation import difference_of_r
from delt_exp.statistics.families import Comparison, holm
from delt_exp.statistics.found_relation import Relation
from delt_exp.statistics.paired import Estimate
from delt_exp.study.alignment.pairs import Pair, pairs_of, points_table
from delt_exp.study.alignment.report import AlignmentReport
from delt_exp.study.figures import chooser
from delt_exp.study.forest import dots
from delt_exp.study.record import StudyRecord

Relations = Mapping[str, Mapping[str, Relation]]
"""Cell -> metric -> relation with the loss."""
Ranking = Mapping[tuple[str, str], Mapping[str, Comparison]]
"""Two metrics -> cell -> Fisher's z of the first minus that of the second."""
WITHIN, APART = "all pairs", "off the diagonal"


@settings
class SizesReport(AlignmentReport):
    """Relates each metric to the loss in every cell of the study: one size of model with one budget of tokens.

    cells: the dimensions that make a cell; a cell is left out until all corpora are finished in it.
    """

    cells: Sequence[str]

    def findings(self, study: StudyRecord) -> Findings:
        """Return correlations by cell and whether their ranking changes; raises DataError for too few points."""
        by_cell, left_out = _complete(pairs_of(study, self.corpus, self.cells))
        relations = {cell: self.relations(pairs) for cell, pairs in by_cell.items()}
        metrics, last = list(next(iter(relations.values()))), list(by_cell)[-1]
        ranking, change = self._ranking(by_cell, metrics), self._change(by_cell, metrics)
        pairs = [pair for own in by_cell.values() for pair in own]
        scattered = self.picture(by_cell[last], relations[last])
        tables = [
            _ranking_table(ranking, list(by_cell)),
            _cells_table(relations),
            _change_table(relations, change),
            points_table(pairs, metrics),
        ]
        figures = [_figure(relations), replace(scattered, title=f"{scattered.title}: {last}")]
        return Findings(
            "\n".join([_answer(relations, ranking), *_changes(change), *left_out]),
            figures,
            [table for table in tables if table.rows],
        )

    def _ranking(self, by_cell: Mapping[str, Sequence[Pair]], metrics: Sequence[str]) -> Ranking:
        """Return all pairs of metrics in all cells, corrected as one family."""
        found = {
            (first, second, cell): estimate
            for first, second in combinations(metrics, 2)
            for cell, pairs in by_cell.items()
            if (estimate := difference_of_r(self.points(pairs, first), self.points(pairs, second))) is not None
        }
        corrected = holm([self._compared(first, second, one) for (first, second, _), one in found.items()])
        ranking: dict[tuple[str, str], dict[str, Comparison]] = {}
        for (first, second, cell), pair in zip(found, corrected, strict=True):
            ranking.setdefault((first, second), {})[cell] = pair
        return ranking

    def _change(self, by_cell: Mapping[str, Sequence[Pair]], metrics: Sequence[str]) -> dict[str, Comparison]:
        """Return the last cell against the first, metric by metric, corrected as one family."""
        (first, *_), (*_, last) = by_cell.items(), by_cell.items()
        if first == last:
            return {}
        found = {
            metric: estimate
            for metric in metrics
            if (estimate := difference_of_r(self.points(last[1], metric), self.points(first[1], metric))) is not None
        }
        pairs = holm([self._compared(last[0], first[0], estimate) for estimate in found.values()])
        return dict(zip(found, pairs, strict=True))

    def _compared(self, first: str, second: str, estimate: Estimate) -> Comparison:
        """Return a comparison of two correlations with the loss; the lower one says more."""
        p = estimate.p
        return Comparison(first, second, estimate, "lower", "Fisher z", self.alpha, p, p, 1)


def _complete(pairs: Sequence[Pair]) -> tuple[dict[str, list[Pair]], list[str]]:
    """Return the pairs of each cell that has every corpus, seed and set of the study, and which cells are left out."""
    by_cell: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_cell.setdefault(pair.cell, []).append(pair)
    wanted = {(pair.train, pair.evaluation, pair.seed) for pair in pairs}
    found = {
        cell: sorted(own, key=lambda pair: (pair.train, pair.evaluation, pair.seed))
        for cell, own in by_cell.items()
        if {(pair.train, pair.evaluation, pair.seed) for pair in own} == wanted
    }
    if not found:
        raise DataError("no size and budget is finished on all corpora yet; repeat the study's command")
    missing = [cell for cell in by_cell if cell not in found]
    return found, [f"Left out until all its corpora are finished: {', '.join(missing)}."] if missing else []


def _answer(relations: Relations, ranking: Ranking) -> str:
    """Return whether the order of the metrics changes between cells, and which says most in each."""
    changing = [names for names, by_cell in ranking.items() if _verdict(names, by_cell) == "changes"]
    shown = [names for names, by_cell in ranking.items() if _clear(by_cell)]
    cells = f"{len(relations)} pairs of size and budget"
    firsts = {cell: min(by_metric, key=lambda m: by_metric[m].primary.r.value) for cell, by_metric in relations.items()}
    counts = {name: list(firsts.values()).count(name) for name in firsts.values()}
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    first = ", ".join(f"{name} in {'all' if count == len(firsts) else count} of them" for name, count in ordered)
    if changing:
        names = ", ".join(" and ".join(pair) for pair in changing)
        text = f"The ranking of metrics changes between {cells}: {names} are shown in both orders."
    else:
        text = f"No change in the ranking of metrics is shown between {cells}"
        text += f": {len(shown)} of {len(ranking)} pairs of metrics are distinguishable, always in one order."
    return f"{text} The strongest correlation with the loss is that of {first}."


def _changes(change: Mapping[str, Comparison]) -> list[str]:
    clear = {metric: pair for metric, pair in change.items() if pair.is_clear}
    if not change:
        return []
    some = next(iter(change.values()))
    between = f"between {some.second} and {some.first}"
    if not clear:
        return [f"No metric's correlation with the loss is shown to differ {between}."]
    parts = [f"{metric} says {'more' if pair.is_better else 'less'}" for metric, pair in clear.items()]
    return [f"From {some.second} to {some.first}, {', '.join(parts)} of the loss."]


def _clear(by_cell: Mapping[str, Comparison]) -> set[bool]:
    """Return whether the first of two metrics is the better one, for the cells that tell them apart."""
    return {pair.is_better for pair in by_cell.values() if pair.is_clear}


def _verdict(names: tuple[str, str], by_cell: Mapping[str, Comparison]) -> str:
    clear = _clear(by_cell)
    if len(clear) == 2:
        return "changes"
    count = sum(pair.is_clear for pair in by_cell.values())
    return f"{names[0] if True in clear else names[1]} first, {count} of {len(by_cell)}" if clear else "not shown"


def _ranking_table(ranking: Ranking, cells: Sequence[str]) -> Table:
    rows: list[Sequence[Cell]] = [
        [" and ".join(names), _verdict(names, by_cell), *(_ranged(by_cell.get(cell)) for cell in cells)]
        for names, by_cell in ranking.items()
    ]
    count = sum(map(len, ranking.values()))
    note = (
        "Fisher's z of the correlation of the first metric with the loss minus that of the second, within evaluation "
        f"sets; below 0 the first says more. Verdicts are corrected for {count} comparisons (Holm); intervals are "
        "uncorrected, over training corpora and evaluation sets. The order changes where both are clear."
    )
    return Table("ranking", "Which metric says more", note, ["metrics", "verdict", *cells], rows)


def _ranged(pair: Comparison | None) -> Ranged | None:
    return None if pair is None else Ranged(pair.estimate.value, *pair.interval)


def _cells_table(relations: Relations) -> Table:
    rows: list[Sequence[Cell]] = []
    for cell, by_metric in relations.items():
        ranked = sorted(by_metric, key=lambda metric: by_metric[metric].primary.r.value)
        for metric, relation in by_metric.items():
            apart = relation.different_domains
            rows.append([
                metric, cell, ranked.index(metric) + 1, relation.primary.r, apart.r if apart else None,
                relation.partial_r, relation.primary.num_pairs,
            ])  # fmt: skip
    note = (
        "Correlation with the loss within evaluation sets; the strongest negative one has rank 1. Intervals are over "
        "training corpora and, from 5 on, evaluation sets."
    )
    columns = ["metric", "size and budget", "rank", "r", "r off the diagonal", "partial r given cheaper", "pairs"]
    return Table("cells", "Correlation with the loss by size and budget", note, columns, rows)


def _change_table(relations: Relations, change: Mapping[str, Comparison]) -> Table:
    rows: list[Sequence[Cell]] = []
    for metric, pair in change.items():
        ends = (relations[cell][metric].primary.r for cell in (pair.second, pair.first))
        rows.append([metric, pair.verdict, Difference.of(pair), pair.p_holm, *ends])
    some = next(iter(change.values()), None)
    columns = ["metric", "verdict", "difference [Fisher z]", "p (Holm)"]
    columns += [f"r, {some.second}", f"r, {some.first}"] if some else []
    note = (
        "The same corpora and evaluation sets in both; below 0 (better): alignment says more of the larger one's loss."
    )
    return Table("change", "From the first to the last size and budget", note, columns, rows)


def _figure(relations: Relations) -> Figure:
    """Return the correlations with their intervals, a row for each cell, buttons for the pairs."""
    metrics = list(next(iter(relations.values())))

    def groups(kind: str) -> dict[str, dict[str, Ranged]]:
        return {
            metric: {cell: r for cell in relations if (r := _r(relations[cell][metric], kind))} for metric in metrics
        }

    plots = {
        kind: dots(found, list(relations), f"r with the loss, {kind}", _below_zero(found), at_least=(-1.0, 0.0))
        for kind in (WITHIN, APART)
        if any((found := groups(kind)).values())
    }
    note = "Within evaluation sets, with intervals over corpora. Filled points: the interval lies below 0."
    return Figure("cells", "Correlation with the loss by size and budget", note, chooser(plots).to_plotly_json())


def _below_zero(groups: Mapping[str, Mapping[str, Ranged]]) -> dict[str, set[str]]:
    return {name: {row for row, r in group.items() if r.shows(-1)} for name, group in groups.items()}


def _r(relation: Relation, kind: str) -> Ranged | None:
    if kind == WITHIN:
        return relation.primary.r
    return relation.different_domains.r if relation.different_domains else None
