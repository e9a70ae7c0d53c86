"""The folder that lm-evaluation-harness writes with `--log_samples`: results_DATE.json and samples_TASK_DATE.jsonl.

The program itself is not needed. Where a task was evaluated again into the same folder, the newest counts.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from delt_exp.compare.answers import Answers, Choice, ReadResults, by_item, chosen_tasks
from delt_exp.compare.samples import HASHES, HOW, read_samples
from delt_exp.errors import DataError
from delt_exp.quantity import Direction

USUAL = ("acc_norm", "acc", "exact_match")
ACCURACIES = (*USUAL, "acc_bytes", "acc_mutual_info", "acc_all")
# Made from all rows at once, where a task does not say otherwise; functions of a task's own are tried.
OF_ALL_ROWS = ("f1", "mcc", "brier_score", "bleu", "chrf", "chrf++", "ter", "bypass")
DATE = re.compile(r"_(\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl?$")


class Scale(NamedTuple):
    """How a row gives (sum, size), in which unit, and what lm-eval makes of the mean."""

    unit: str
    parts: Callable[[Any], tuple[float, float]]
    reported: Callable[[float], float]


def _pair(factor: float) -> Callable[[Any], tuple[float, float]]:
    return lambda value: (factor * value[0], value[1])


# lm-eval keeps log likelihoods, and exponentiates after the mean: differences are those of the logarithms.
LIKELIHOODS = {
    "perplexity": Scale("nats/target", lambda value: (-value, 1.0), math.exp),
    "word_perplexity": Scale("nats/word", _pair(-1.0), math.exp),
    "byte_perplexity": Scale("nats/byte", _pair(-1.0), math.exp),
    "bits_per_byte": Scale("bits/byte", _pair(-1 / math.log(2)), float),
}


class Evaluated(NamedTuple):
    """One task in one results file."""

    name: str
    results: Mapping[str, Any]
    samples: Path

    def of(self, key: str) -> Any:
        """Return the task's entry of a table of the results, None where it has none."""
        return self.results.get(key, {}).get(self.name)


def results_files(path: Path) -> list[Path]:
    """Return the results files in a folder, oldest first, or the file itself; none where it is no such place."""
    if path.is_file():
        return [path] if path.suffix == ".json" and DATE.search(path.name) else []
    files = [file for file in path.rglob("*.json") if DATE.search(file.name)]
    return sorted(files, key=lambda file: _date(file))


def read_lm_eval(path: Path, choice: Choice) -> ReadResults:
    """Return the answers of every task; raises DataError for samples that are missing or not those of the results."""
    files = results_files(path)
    folders = sorted({str(file.parent) for file in files})
    if len(folders) > 1:
        raise DataError(
            f"{path} holds results of {len(folders)} models: {', '.join(folders)}; give one of these folders"
        )
    tasks, groups, notes = _evaluated(files)
    wanted = chosen_tasks(path, list(tasks), groups, choice.tasks)
    answers = {}
    for name in wanted:
        found, said = _answers(tasks[name], choice)
        notes += said
        if found is not None:
            answers[name] = found
    if not answers:
        raise DataError(f"{path}: no task has a metric that is a mean over documents; name one by --metric")
    return ReadResults({None: answers}, groups, notes)


def _evaluated(files: Sequence[Path]) -> tuple[dict[str, Evaluated], dict[str, Sequence[str]], list[str]]:
    """Return the newest evaluation of each task, the groups, and which tasks were evaluated more than once."""
    tasks: dict[str, Evaluated] = {}
    groups: dict[str, Sequence[str]] = {}
    notes = []
    for file in files:
        try:
            results = json.loads(file.read_text(encoding="utf-8"))
            names = list(results["results"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{file} is not a results file of lm-eval, or is damaged ({error!r}); {HOW}") from error
        inner = {name: below for name, below in results.get("group_subtasks", {}).items() if below}
        groups |= inner
        for name in (name for name in names if name not in inner):
            if name in tasks:
                notes.append(f"{file.parent}: {name} was evaluated again; the newest counts, {_date(file)}.")
            tasks[name] = Evaluated(name, results, file.parent / f"samples_{name}_{_date(file)}.jsonl")
    return tasks, groups, notes


def _date(file: Path) -> str:
    found = DATE.search(file.name)
    assert found is not None
    return found[1]


def _answers(task: Evaluated, choice: Choice) -> tuple[Answers | None, list[str]]:
    """Return the answers on one task, None where it has no mean over documents, and what was chosen."""
    if not task.samples.exists():
        raise DataError(f"{task.samples} is missing, and without it no item can be compared; {HOW}")
    metric, filter_name, notes = _chosen(task, choice)
    if metric is None:
        return None, notes
    scale = LIKELIHOODS.get(metric) or _mean_scale(metric)
    columns = _columns(task, metric, filter_name, scale, choice.cluster)
    settings = {"version": str(task.of("versions")), "number of few-shot examples": str(task.of("n-shot"))}
    better = choice.direction(_direction(task, metric), f"{task.name}: {metric}")
    if choice.better not in (None, better):
        notes.append(
            f"{task.name}: {better} {metric} is better, as lm-eval says; --{choice.better}-is-better is not for it."
        )
    label = metric if filter_name == "none" else f"{metric} ({filter_name})"
    answers = Answers(label, scale.unit, better, settings=settings, **columns)
    _check_mean(task, f"{metric},{filter_name}", scale.reported(answers.mean))
    return answers, notes


def _columns(task: Evaluated, metric: str, filter_name: str, scale: Scale, cluster: str | None) -> dict[str, Any]:
    """Return the columns of `Answers`; raises DataError where rows are missing or hold no numbers."""
    rows = read_samples(task.samples, metric, filter_name, cluster)
    expected = (task.of("n-samples") or {}).get("effective")
    count = len(set(rows["doc_id"]))
    if not count or count != (expected or count):
        raise DataError(
            f"{task.samples} has {count} documents of {expected or 'at least one'}: it is incomplete; {HOW}"
        )
    try:
        sums, sizes = zip(*map(scale.parts, rows[metric]), strict=True)
    except TypeError as error:
        raise DataError(
            f"{task.samples}: {metric} is not one number per row; choose another --metric, or leave the task out by "
            "--tasks"
        ) from error
    labels = {name: rows[key] for key, name in HASHES.items()} | ({"cluster": rows["cluster"]} if cluster else {})
    return by_item(task.samples, rows["doc_id"], sums, sizes, labels)


def _mean_scale(metric: str) -> Scale:
    unit = "accuracy" if metric in ACCURACIES else metric
    return Scale(unit, lambda value: (float(value), 1.0), float)


def _chosen(task: Evaluated, choice: Choice) -> tuple[str | None, str, list[str]]:
    """Return metric, filter, and what else there would have been."""
    results = task.of("results")
    pairs = [key.split(",") for key in results if "," in key and "_stderr," not in key]
    means = [(metric, name) for metric, name in pairs if _is_mean(task, metric)]
    found = f"{', '.join(metric + ',' + name for metric, name in means) or 'none'}"
    if choice.metrics and not any(metric in choice.metrics for metric, _ in means):
        raise DataError(
            f"{task.samples.parent}: {task.name} has no {' or '.join(choice.metrics)} that is a mean over documents; "
            f"it has {found}: name one of these by --metric"
        )
    if not means:
        names = ", ".join(metric for metric, _ in pairs)
        return None, "", [f"{task.name} is left out: {names} is not a mean over documents, so items cannot be paired."]
    wanted = choice.metrics or USUAL
    metric = next((name for name in wanted if name in dict(means)), means[0][0])
    filters = [name for one, name in means if one == metric]
    if choice.filter is not None and choice.filter not in filters:
        raise DataError(
            f"{task.name}: {metric} has no filter {choice.filter!r}; it has {', '.join(map(repr, filters))}"
        )
    chosen = (metric, choice.filter or filters[0])
    others = [f"{one},{name}" for one, name in means if (one, name) != chosen]
    note = f"{task.name}: {','.join(chosen)} is compared, not {', '.join(others)} (--metric, --filter)."
    return *chosen, [note] if others else []


def _is_mean(task: Evaluated, metric: str) -> bool:
    """Whether lm-eval's value is the mean of one number per row, or of likelihoods; others, as F1, are of all rows."""
    if metric in LIKELIHOODS:
        return True
    listed = (task.of("configs") or {}).get("metric_list") or []
    aggregation = next((one.get("aggregation") for one in listed if one.get("metric") == metric), None)
    return metric not in OF_ALL_ROWS if aggregation is None else aggregation == "mean"


def _direction(task: Evaluated, metric: str) -> Direction | None:
    if metric in LIKELIHOODS:
        return "lower"
    if metric in ACCURACIES:
        return "higher"
    known = (task.of("higher_is_better") or {}).get(metric)
    return None if known is None else "higher" if known else "lower"


def _check_mean(task: Evaluated, key: str, ours: float) -> None:
    """Raise DataError unless the rows give the value of the results file."""
    reported = task.of("results")[key]
    if not math.isclose(ours, reported, rel_tol=1e-6, abs_tol=1e-9):
        raise DataError(
            f"{task.samples}: its rows give {key} = {ours:.6g}, the results file says {reported:.6g}: they come from "
            "different evaluations, or the task aggregates in its own way; evaluate again, choose another "
            "--metric, or leave it out by --tasks"
        )
