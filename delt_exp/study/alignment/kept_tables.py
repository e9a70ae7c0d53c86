"""Tables and picture of `KeptReport`: correlations, picks, tasks, and what every method kept."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from delt_exp.report.findings import Cell, Difference, Figure, Table
from delt_exp.study.alignment.kept_data import Foreseen, Kept
from delt_exp.study.figures import chooser, colour, symbol
from delt_exp.study.figures import figure as plotted


def answer(kept: Kept, foreseen: Mapping[str, Foreseen], alpha: float) -> list[str]:
    """Return whether alignment foresees the gain, and what picking by it loses."""
    shown = [name for name, one in foreseen.items() if one.is_shown(alpha)]
    best = max(foreseen, key=lambda name: foreseen[name].found.rho.value)
    rho = foreseen[best].found.rho
    numbers = f"{best}: mean rank correlation {rho.value:.2f} [{rho.low:.2f}, {rho.high:.2f}], p {foreseen[best].p:.2g}"
    verdict = (
        f"Yes, by {', '.join(shown)}" if shown else "Not shown: no metric of alignment foresees which method gains"
    )
    size = f"{len(kept.methods_A)} methods, {len(kept.tasks_P)} tasks, {len(kept.seeds_S)} seeds"
    lines = [f"{verdict} ({numbers} after Holm; {size})."]
    backwards = [name for name, one in foreseen.items() if one.p < alpha and one.found.rho.value < 0]
    if backwards:
        lines.append(f"The other way round, more alignment goes with less gain: {', '.join(backwards)}.")
    chance, trained = foreseen[best].against_any, foreseen[best].against_training
    if chance is None or trained is None:
        return [*lines, "With one seed, the pick by alignment is not compared with that by training."]
    lost = trained.estimate.value
    random_loss = lost - chance.estimate.value
    lines.append(
        f"Picking the method with the best {best} loses {_nats(-lost, kept.unit)} against training all of them; a "
        f"method at random loses {_nats(-random_loss, kept.unit)}. Against one at random, picking by {best} is "
        f"{chance.verdict}."
    )
    elsewhere = foreseen[best].against_elsewhere
    if elsewhere is not None:
        lines.append(
            f"Against the method that gained most on the other tasks, which costs nothing to know, it brings "
            f"{elsewhere.estimate.value:+.2g} {kept.unit}. To align what all methods kept takes "
            f"{kept.alignment_seconds[best]:.3g} s a task, to train on it {kept.training_seconds:.3g} s; both come "
            "after all methods have scored."
        )
    return lines


def _nats(value: float, unit: str) -> str:
    return f"{round(value, 6) + 0.0:.2g} {unit}"  # no minus before what rounds to 0


def correlations_table(foreseen: Mapping[str, Foreseen], alpha: float) -> Table:
    """Return one row per metric: the correlation over methods, mean of tasks."""
    rows: list[Sequence[Cell]] = []
    for name, one in foreseen.items():
        word = "foresees" if one.is_shown(alpha) else "the other way round" if one.p < alpha else "not shown"
        rows.append([name, word, one.found.rho, one.p, one.found.p])
    note = (
        "Spearman's correlation over methods, or families of them, of the alignment of what they kept with their gain, "
        "means over seeds, averaged over tasks. Intervals are over methods and seeds. p: methods permuted, the same "
        f"way in all tasks; corrected for {len(rows)} metrics (Holm)."
    )
    columns = ["metric", "verdict", "rank correlation", "p (Holm)", "p"]
    return Table("foresight", "Does alignment foresee the gain?", note, columns, rows, is_answer=True)


def picks_table(kept: Kept, foreseen: Mapping[str, Foreseen]) -> Table:
    """Return one row per metric: what the pick by it brings, against chance and against training all methods."""
    rows: list[Sequence[Cell]] = []
    for name, one in foreseen.items():
        chance, trained = one.against_any, one.against_training
        if chance is not None and trained is not None:
            rows.append([
                name, chance.verdict, Difference.of(chance), chance.p_holm, Difference.of(trained),
                Difference.of(one.against_elsewhere), kept.alignment_seconds[name], kept.training_seconds,
            ])  # fmt: skip
    note = (
        "The gain of the method whose kept documents are most aligned, minus that of a method at random, and minus "
        "that of the method that was best when trained on the other seeds (below 0: what picking without training "
        "loses), and minus that of the method that gained most on the other tasks. Means over tasks, intervals over "
        f"seeds: about these tasks and methods. Corrected for {len(rows)} metrics (Holm). Seconds: of aligning what "
        "all methods kept for a task, and of training on all of it; scoring, which both need, is not among them."
    )
    columns = [
        "pick by", "verdict", "minus one at random", "p (Holm)", "minus training all", "minus the best on other tasks",
        "seconds to align", "seconds to train",
    ]  # fmt: skip
    return Table("picks", "Picking the best aligned", note, columns, rows)


def tasks_table(kept: Kept, foreseen: Mapping[str, Foreseen], alpha: float) -> Table:
    """Return one row per metric and task, with the methods that alignment and training name."""
    rows: list[Sequence[Cell]] = []
    for name, one in foreseen.items():
        for place, task in enumerate(kept.tasks_P):
            known_A, gain_A = kept.known_PAS[name][place].mean(1), kept.gain_PAS[place].mean(1)
            rho, p = float(one.found.rho_P[place]), one.p_P[place]
            word = "not shown" if p >= alpha else "foresees" if rho > 0 else "the other way round"
            picked, best = (kept.methods_A[int(values_A.argmax())] for values_A in (known_A, gain_A))
            lost = float(gain_A.max() - gain_A[known_A.argmax()])
            rows.append([task, word, name, rho, p, picked, best, lost, float(gain_A.max() - gain_A.mean())])
    note = (
        f"p corrected for {len(rows)} tasks and metrics (Holm). The loss of a pick is against the best of the means "
        "over seeds, which looks better than it is; the table of picks is free of that."
    )
    columns = [
        "task", "verdict", "metric", "rank correlation", "p (Holm)", "best aligned", "best trained",
        f"lost [{kept.unit}]", f"lost at random [{kept.unit}]",
    ]  # fmt: skip
    return Table("tasks", "Task by task", note, columns, rows)


def kept_table(kept: Kept) -> Table:
    """Return one row per task and method: its gain and the alignment of what it kept."""
    rows: list[Sequence[Cell]] = [
        [
            method,
            task,
            float(kept.gain_PAS[i, j].mean()),
            *(float(kept.known_PAS[m][i, j].mean()) for m in kept.known_PAS),
        ]
        for i, task in enumerate(kept.tasks_P)
        for j, method in enumerate(kept.methods_A)
    ]
    columns = ["method", "task", f"gain [{kept.unit}]", *kept.known_PAS]
    note = (
        "Means over seeds. The alignment is that of the documents trained on with the evaluation documents on which "
        "the gain is measured; a user has the target alone. Higher is more."
    )
    return Table("kept", "What every method kept", note, columns, rows, folded=True)


def figure(kept: Kept, shown: str) -> Figure:
    """Return gain against alignment above the mean of its task, a colour for each task, a button for each metric."""
    names = [shown, *(name for name in kept.known_PAS if name != shown)]
    note = (
        "One point per method and task, means over seeds. Alignment is in standard deviations of its task, because "
        "tasks differ in level. Where alignment foresees, the points of a colour rise to the right."
    )
    plots = {name: _of_metric(kept, name) for name in names}
    return Figure("kept", "Gain against alignment of what was kept", note, chooser(plots).to_plotly_json())


def _of_metric(kept: Kept, name: str) -> go.Figure:
    traces = []
    for place, task in enumerate(kept.tasks_P):
        known_A, gain_A = kept.known_PAS[name][place].mean(1), kept.gain_PAS[place].mean(1)
        traces.append(
            go.Scatter(
                name=task,
                x=((known_A - known_A.mean()) / np.std(known_A)).tolist(),
                y=gain_A.tolist(),
                text=list(kept.methods_A),
                hovertemplate="%{text}<br>alignment %{x:.2f} sd<br>gain %{y:.3f}<extra></extra>",
                mode="markers",
                marker={"color": colour(place), "symbol": symbol(place), "size": 9},
            )
        )
    plot = plotted(traces, 480, yaxis_title=f"gain [{kept.unit}]")
    return plot.update_xaxes(title=f"alignment, {name} [sd of its task]")
