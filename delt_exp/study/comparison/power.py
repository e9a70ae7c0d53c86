"""What a study will be able to see, before it runs: from runs of it that are finished, its pilot."""

import math
from collections.abc import Iterable, Mapping, Sequence

from delt_exp.errors import DataError
from delt_exp.report.cost import seconds_per_run
from delt_exp.statistics.families import Comparison
from delt_exp.statistics.power import Noise, paired_noise, pooled, separate_noise
from delt_exp.study.comparison.arms import Group, Labels, joined, labels_of
from delt_exp.study.comparison.outcomes import (
    Outcome,
    at_seeds,
    common_seeds,
    common_sets,
    mean_of,
    measured,
    outcome,
)
from delt_exp.study.comparison.planned import planned_pairs
from delt_exp.study.record import PlannedRun, StudyRecord


def power_sentences(
    study: StudyRecord, panel: str | None, metric: str, baseline: Mapping[str, str], alpha: float,
    placebos: Sequence[str] = (), together: int | None = None,
) -> list[str]:  # fmt: skip
    """Return what difference from the baseline the study's seeds will show, and what half of it would take.

    The pilot is the finished runs of the baseline, from whichever study, and of other arms, if any. One sentence for
    each choice of the dimension `panel`, where the study has one: their comparisons, with the baseline and with the
    same arm under each of `placebos`, are corrected as one family. together: how many, where they are not these.
    """
    names = list(dict.fromkeys(run.arm.get(panel, "") if panel else "" for run in study.runs))
    planned = [{labels_of(run, panel) for run in _of(study, panel, name)} for name in names]
    if together is None:
        together = sum(len(planned_pairs(labels, baseline, placebos)) for labels in planned)
    return [_sentence(study, panel, name, metric, baseline, alpha, max(together, 1)) for name in names]


def _of(study: StudyRecord, panel: str | None, name: str) -> list[PlannedRun]:
    return [run for run in study.runs if panel is None or run.arm.get(panel) == name]


def _sentence(
    study: StudyRecord, panel: str | None, name: str, metric: str, baseline: Mapping[str, str], alpha: float,
    together: int,
) -> str:  # fmt: skip
    planned = _by_arm(_of(study, panel, name), panel)
    start = f"power on {name}" if name else "power"
    base_name = joined(baseline)
    folders = {run.folder for run in study.finished()}
    arms = _by_arm((run for runs in planned.values() for run in _all(runs) if run.folder in folders), panel)
    base = next((labels for labels in planned if dict(labels) == dict(baseline)), None)
    if base is None or len(arms.get(base, {})) < 2:
        return f"{start}: not known before the baseline ({base_name}) has two seeds{_cure(study, planned, base)}"
    outcomes = _outcomes({labels: runs for labels, runs in arms.items() if len(runs) > 1}, base, metric)
    if base not in outcomes:
        return f"{start}: not known, the finished runs of the baseline ({base_name}) share no evaluation documents"
    unit, noise, pilot = _noise(outcomes, base)
    num_seeds, level = len({run.seed for run in study.runs}), alpha / together
    seen = noise.detectable(num_seeds, level)
    text = (
        f"{start}: with {num_seeds} seeds a difference of {noise.detectable(num_seeds, alpha):.2g} {unit} from "
        f"{base_name} is detected with probability 0.8, {seen:.2g} after Holm's correction over {together} comparisons "
        f"({pilot})"
    )
    needed = noise.seeds_for(seen / 2, level)
    if needed is None:
        return f"{text}; detecting half of that takes more evaluation documents, not more seeds"
    done = [run for runs in arms.values() for run in _all(runs)]
    seconds = seconds_per_run([record for run in done if (record := run.record()) is not None])
    num_runs = needed * sum(max(map(len, runs.values())) for runs in planned.values())
    num_left = num_runs - len(done)
    hours = f"{max(num_left, 0) * seconds / 3600:.2g} h more, one after another"
    return f"{text}; detecting {seen / 2:.2g} takes {needed} seeds: {num_runs} runs, {hours}"


def _by_arm(runs: Iterable[PlannedRun], panel: str | None) -> dict[Labels, dict[int, list[PlannedRun]]]:
    """Return the runs of each arm by seed, every draw; one that the study lists twice is there once."""
    found: dict[Labels, dict[int, list[PlannedRun]]] = {}
    for run in runs:
        draws = found.setdefault(labels_of(run, panel), {}).setdefault(run.seed, [])
        if all(run.folder != draw.folder for draw in draws):
            draws.append(run)
    return found


def _all(group: Group) -> list[PlannedRun]:
    return [run for runs in group.values() for run in runs]


def family_power(study: StudyRecord, family: Sequence[Comparison], what: str, num_planned: int = 0) -> str:
    """Return what a family of comparisons shows with the seeds that it has, and what half of that would take.

    From the mean noise of its comparisons, at Holm's strictest level; empty where none has two seeds. what: what is
    compared, such as `a difference`; num_planned: comparisons that the family will have, where some are not finished.
    """
    known = [pair for pair in family if pair.estimate.over in ("seeds and documents", "seeds")]
    if not known:
        return ""
    counts = [round(pair.estimate.dfs[0]) + 1 for pair in known]
    noise = pooled([_noise_of(pair, count) for pair, count in zip(known, counts, strict=True)])
    num_seeds, num_comparisons = min(counts), max(len(family), num_planned)
    level = known[0].alpha / num_comparisons
    seen = noise.detectable(num_seeds, level)
    text = (
        f"With {num_seeds} seeds {what} of {seen:.2g} {known[0].unit} is detected with 80 % power after Holm's "
        f"correction over {num_comparisons} comparisons"
    )
    needed = noise.seeds_for(seen / 2, level)
    if needed is None:
        return f"{text}; detecting half of that takes more evaluation documents, not more seeds."
    num_runs = -(-len(study.runs) // max(len({run.seed for run in study.runs}), 1)) * needed
    finished = [record for run in study.finished() if (record := run.record()) is not None]
    seconds = seconds_per_run(finished)
    hours = max(num_runs - len(finished), 0) * seconds / 3600
    more = "" if math.isnan(hours) else f", {hours:.2g} h more, one after another"
    return f"{text}; detecting {seen / 2:.2g} takes {needed} seeds: {num_runs} runs{more}."


def _noise_of(pair: Comparison, num_seeds: int) -> Noise:
    variances, dfs = pair.estimate.variances, pair.estimate.dfs
    return Noise(variances[0] * num_seeds, *((variances[1], dfs[1]) if len(variances) > 1 else ()))


def _cure(study: StudyRecord, planned: Mapping[Labels, Group], base: Labels | None) -> str:
    """Say how to run the baseline alone."""
    if base is None:
        return ", which the study does not plan"
    own = {name for run in _all(planned[base]) for name in run.slices}
    others = dict.fromkeys(name for run in study.runs for name in run.slices if name not in own)
    without = " ".join(f"'~study.slices.{name}'" for name in others)
    return f"; to run it first, add {without}" if without else ""


def _outcomes(arms: Mapping[Labels, Group], base: Labels, metric: str) -> dict[Labels, Outcome]:
    """Return the outcomes of the baseline and of those arms that were measured on what it was, means over draws."""
    found: dict[Labels, Outcome] = {}
    own: Sequence[str] = []
    for labels in [base, *(labels for labels in arms if labels != base)]:
        by_seed = dict(sorted(arms[labels].items()))
        try:
            draws = [[measured(run, metric) for run in runs] for runs in by_seed.values()]
        except DataError:
            continue
        sets = common_sets([run for runs in draws for run in runs])
        own = sets if labels == base else own
        if not own or not set(own) <= set(sets):
            continue
        values = [mean_of(runs, own) for runs in draws]
        found[labels] = outcome(joined(dict(labels)), tuple(by_seed), values, own)
    return found


def _noise(outcomes: Mapping[Labels, Outcome], base: Labels) -> tuple[str, Noise, str]:
    """Return the unit, the noise of a difference from the baseline, and what it is known from."""
    baseline, paired = outcomes[base], list[Noise]()
    for labels, arm in outcomes.items():
        seeds = common_seeds([arm, baseline]) if labels != base else None
        if seeds is not None and len(seeds) > 1:
            try:
                paired.append(paired_noise(at_seeds(arm, seeds).minus(at_seeds(baseline, seeds))))  # type: ignore[arg-type]
            except DataError:  # on other documents
                continue
    if paired:
        return baseline.unit, pooled(paired), f"noise of {len(paired)} arms against it"
    others = [separate_noise(baseline, arm) for labels, arm in outcomes.items() if labels != base]
    if others:
        return baseline.unit, pooled(others), f"noise of {len(others)} arms and of the baseline"
    count = len(baseline.seeds_S)
    return baseline.unit, separate_noise(baseline, baseline), f"other arms as noisy as {count} seeds of the baseline"
