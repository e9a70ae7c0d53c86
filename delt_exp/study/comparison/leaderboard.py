"""Which arms are better, and how sure: leaderboard with intervals, planned comparisons, and all pairs."""

from collections.abc import Sequence

from delt_exp.quantity import Ranged
from delt_exp.report.findings import Cell, Difference, Figure, Table
from delt_exp.statistics.families import DETECTABLE
from delt_exp.study.comparison.arms import Panel
from delt_exp.study.comparison.pairs import Pairs
from delt_exp.study.forest import forest


def leaderboard_table(panel: Panel, alpha: float) -> Table:
    """Return one row per arm, best first."""
    outcome = panel.arms[0].outcome
    rows: list[list[Cell]] = []
    for arm in panel.ranked:
        estimate, pair = arm.outcome.estimate, panel.against_baseline(arm)
        placebo = "; ".join(f"{name}: {one.verdict}" for name, one in panel.against_placebos(arm).items())
        value = Ranged(estimate.value, *estimate.interval(alpha))
        verdict = "baseline" if arm is panel.baseline else pair.verdict if pair else ""
        rows.append(
            [arm.name, verdict, Difference.of(pair), pair.p_holm if pair else None, value, placebo, len(arm.runs)]
        )
    columns = ["arm", "verdict", "minus baseline", "p (Holm)", outcome.unit, "against the placebo", "seeds"]
    note = (
        f"Best first; {outcome.better} is better. With {100 * (1 - alpha):g} % intervals over "
        f"{outcome.estimate.over}. Those of two arms may overlap although "
        f"their paired difference is clear, so read the difference. {' '.join(panel.remarks)}"
    )
    return Table("leaderboard", "Verdicts", note, columns, rows, is_answer=True)


def pairs_table(
    name: str, title: str, panels: Sequence[Panel], pairs: Sequence[Pairs], *, folded: bool = False
) -> Table:
    """Return one row per pair, the surest first; `pairs`: those of each panel."""
    has_panels = any(panel.name for panel in panels)
    every = [(panel.name, one) for panel, found in zip(panels, pairs, strict=True) for one in found.values()]
    rows: list[list[Cell]] = []
    for panel_name, one in sorted(every, key=lambda item: item[1].p):
        rows.append([
            one.first, one.verdict, Difference.of(one), one.second, *([panel_name] if has_panels else []), one.p,
            one.p_holm, one.effect_size, one.detectable, one.estimate.over,
        ])  # fmt: skip
    columns = [
        "first", "verdict of the first", "first minus second", "second", *(["panel"] if has_panels else []), "p",
        "p (Holm)", "effect size", "minimum detectable effect", "over",
    ]  # fmt: skip
    num_comparisons = max((one.num_comparisons for _, one in every), default=0)
    counted = f"{num_comparisons} comparisons" + (
        f", of which {num_comparisons - len(rows)} are not finished" if num_comparisons > len(rows) else ""
    )
    note = f"Paired over shared seeds and documents; Holm-corrected ({counted}). {DETECTABLE}"
    return Table(name, title, note, columns, rows, folded=folded)


def leaderboard_figure(panel: Panel) -> Figure | None:
    """Return the difference of every arm from the baseline with its interval; None where there is none."""
    pairs = {arm: cell for arm in panel.ranked if (cell := Difference.of(panel.against_baseline(arm)))}
    if panel.baseline is None or not pairs:
        return None
    kinds = {
        "score": [arm for arm in pairs if not panel.is_placebo(arm)],
        "placebo": list(filter(panel.is_placebo, pairs)),
    }
    groups = {kind: {arm.name: pairs[arm] for arm in arms} for kind, arms in kinds.items() if arms}
    baseline, outcome = panel.baseline.name, panel.arms[0].outcome
    rows = [arm.name for arm in panel.ranked if arm in pairs or arm is panel.baseline]
    plot = forest(groups, rows, baseline, outcome.unit, colours=(0, 4))
    note = (
        "Paired differences with uncorrected intervals; filled points are better or worse after Holm's "
        "correction, hollow ones are not distinguishable from the baseline."
    )
    return Figure("leaderboard", "Every arm against the baseline", note, plot.to_plotly_json())
