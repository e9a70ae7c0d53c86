"""Which method for which task, and what does it cost? One map of scorers by tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from delt_exp.config.fields import ProperShare, settings
from delt_exp.errors import DataError
from delt_exp.report.findings import Findings
from delt_exp.report.numbers import listed
from delt_exp.study.comparison.arms import Panel, planned_arms, read_panels, without_arms
from delt_exp.study.comparison.charge import charged
from delt_exp.study.comparison.leaderboard import pairs_table
from delt_exp.study.comparison.pairs import baseline_apart
from delt_exp.study.comparison.planned import unfinished_pairs
from delt_exp.study.comparison.power import power_sentences
from delt_exp.study.method_map.entries import (
    Entry,
    entries_of,
    next_better,
    outdone,
    recommended,
    refuse_shared_documents,
    with_claims,
)
from delt_exp.study.method_map.figures import answer_table, heat_map_figure, leaderboard, pareto_figure
from delt_exp.study.record import StudyRecord
from delt_exp.study.trust import trust


@settings
class MapReport:
    """Compares scorers that keep a share of the documents with training on all of them, task by task.

    panel: the dimension of tasks. share: the dimension of the share kept. metric, baseline and placebos as in
    `ComparisonReport`; runs like the baseline with larger budgets show what the cost of a score could buy instead.
    Every arm is compared with the baseline, which is therefore the mean of its runs in the dimension `draw`, if any.
    """

    panel: str
    share: str
    metric: str
    baseline: Mapping[str, str | int | float]
    placebos: Sequence[str]
    alpha: ProperShare

    def findings(self, study: StudyRecord) -> Findings:
        """Return the map; raises DataError for too few runs, or candidates among the evaluation documents."""
        labels = {key: str(label) for key, label in self.baseline.items()}
        panels = read_panels(study, self.panel, self.metric, labels, self.placebos)
        for panel in panels:
            refuse_shared_documents(panel)
        unfinished = unfinished_pairs(study, self.panel, labels, self.placebos)
        panels = baseline_apart(charged(panels), self.alpha, unfinished)
        found = [entry for panel in panels for entry in entries_of(panel, planned_arms(study, self.panel, panel.name))]
        every = with_claims(found, unfinished)
        tasks = {task: [entry for entry in every if entry.task == task] for task in (panel.name for panel in panels)}
        tasks = {task: entries for task, entries in tasks.items() if entries}
        if not tasks:
            raise DataError(f"{study.folder}: no task has its baseline and another arm yet; repeat the study's command")
        unit = panels[0].arms[0].outcome.unit
        sentences = {task: _sentence(task, entries, self.share, unit) for task, entries in tasks.items()}
        answer = "\n".join([_headline(tasks), *sentences.values()])
        figures = [heat_map_figure(tasks, self.share, unit), *filter(None, [pareto_figure(tasks, unit)])]
        remarks = " ".join(filter(None, [_remarks(panels, every), without_arms(study, self.panel, panels)]))
        planned = replace(
            pairs_table("planned", "Planned comparisons", panels, [panel.planned for panel in panels]),
            note="Paired over shared seeds and documents; variances over seeds are moderated over all comparisons "
            "(Smyth 2004). Corrected by Holm's method over comparisons with the baseline, and apart from these over "
            "those with placebos.",
            folded=True,
        )
        return Findings(
            "\n".join(filter(None, [answer, remarks, trust(study, self.metric)])),
            figures,
            [answer_table(tasks, self.share, unit), leaderboard(tasks, self.share, unit, self.alpha), planned],
        )

    def power(self, study: StudyRecord) -> list[str]:
        """Return what gains over the baseline the study will show, task by task, as its finished runs let expect."""
        labels = {key: str(label) for key, label in self.baseline.items()}
        sentences = power_sentences(study, self.panel, self.metric, labels, self.alpha)
        return [
            *sentences,
            "power: variances will be moderated over all arms, so that smaller differences are detected",
        ]


def _headline(tasks: Mapping[str, Sequence[Entry]]) -> str:
    """Return one line over all tasks: what to use on each."""
    found: dict[str | None, list[str]] = {}
    for task, entries in tasks.items():
        used = recommended(entries)
        longer = "longer training on all documents" if outdone(entries) else None
        found.setdefault(str(used.arm.labels.get("scorer")) if used else longer, []).append(task)
    nothing = found.pop(None, [])
    parts = [f"{scorer} for {listed(where)}" for scorer, where in found.items()]
    if not found:
        return f"Nothing is shown to help on {listed(nothing)}."
    parts += [f"nothing is shown to help on {listed(nothing)}"] if nothing else []
    return f"Use {'; '.join(parts)}."


def _sentence(task: str, entries: Sequence[Entry], share: str, unit: str) -> str:
    """Return what to use for a task, what it costs, and what more cost would bring."""
    used = recommended(entries)
    if (dear := outdone(entries)) is not None:
        return (
            f"For {task}, train on all documents for longer: {dear.named(share)}, gains {_gained(dear, unit)} over "
            f"equally many tokens, but costs {dear.arm.cost.seconds_in_words()}, and a baseline trained for the same "
            "time is better."
        )
    if used is None:
        best = entries[0]
        told = f"the largest gain, of {best.named(share)}, is {_gained(best, unit)}"
        reach = f"one of {best.pair.detectable:.2g} would be detected with power 0.8"
        return f"For {task}, nothing is shown to beat training on all documents; {told}, and {reach}."
    text = f"For {task}, use {used.named(share)}: it gains {_gained(used, unit)}"
    text += f"; it costs {used.arm.cost.seconds_in_words()}"
    net = used.at_equal_cost
    if net is None:
        text += "; the baseline was not trained for as long"
    elif not net.is_better:
        worse = "it is worse than" if net.is_clear else "it is not shown to beat"
        text += f"; {worse} a baseline trained for the same time"
    if used.pair.estimate.over == "documents":
        text += "; only one seed is finished, so this holds for these models only"
    more = next_better(entries, used)
    if more is None:
        return f"{text}; no larger gain is shown."
    gain = more.gain.value - used.gain.value
    seconds = (more.seconds or 0.0) - (used.seconds or 0.0)
    extra = f"{seconds:.2g} {more.arm.cost.unit} more" if seconds > 0 else "no more"
    return f"{text}; the next larger gain that is shown, of {more.named(share)}, is {gain:.2g} {unit} more for {extra}."


def _gained(entry: Entry, unit: str) -> str:
    gain = entry.gain
    return f"{gain.value:.2g} {unit} [{gain.low:.2g}, {gain.high:.2g}]"


def _remarks(panels: Sequence[Panel], entries: Sequence[Entry]) -> str:
    """Say which baselines and placebos are missing, and what therefore is not claimed."""
    unfinished = [panel.name for panel in panels if panel.baseline is None]
    bases = f"Not finished: the baseline of {', '.join(unfinished)}." if unfinished else ""
    open_tasks = list(dict.fromkeys(entry.task for entry in entries if entry.unfinished))
    placebos = (
        f"Not finished: placebos for {', '.join(open_tasks)}; methods that keep as much are not shown to help before."
        if open_tasks
        else ""
    )
    return " ".join(filter(None, [bases, placebos]))
