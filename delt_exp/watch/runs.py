"""The runs of an output folder as its files tell: running, stopped, failed, waiting and finished, and time left."""

import statistics
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from delt_exp.files import read_json, read_json_once
from delt_exp.report.stages import BASELINE, SELECTION
from delt_exp.steps.journal import FOLDER, PHASES, Phase
from delt_exp.store.file_lock import is_held
from delt_exp.study.record import FILE, StudyRecord, read_study

State = Literal["running", "stopped", "failed", "waiting", "finished"]
PHASE_OF: Mapping[str, Phase] = {
    "corpus": "read", "tokenizer": "read", "tokens": "read", "overlap": "read", "scores": "score", "model": "train",
    "evaluation": "evaluate",
}  # fmt: skip
COSTLY = ("train_dataset", "scorer", "selector", "model", "trainer")


@dataclass(frozen=True)
class Run:
    """One run. seconds: since it began, or all of a finished one; left: seconds still to go, None where not known.

    phase: the number of the one that it is in, 0 before the first; phases: all that it has; doing: the piece of work at
    hand, in words.
    """

    name: str
    title: str
    group: str
    state: State
    seconds: float = 0.0
    left: float | None = None
    phase: int = 0
    phases: Sequence[str] = ()
    doing: str = ""
    result: str = ""
    ended: float = 0.0


def read_runs(output_dir: Path) -> list[Run]:
    """Return all runs: those of studies and sweeps that are still to come too."""
    records = dict(_records(output_dir))
    journals = dict(_journals(output_dir / FOLDER))
    paces = _paces(record for _, record in records.values() if "stopped_after" not in record)
    studies = [read_study(file.parent)[0] for file in output_dir.glob(f"*/{FILE}")]
    sweeps = {file.parent.name: read_json(file) for file in output_dir.glob("sweeps/*/sweep.json")}
    titles = {Path(run.folder).name: _title(run.arm, run.seed) for study in studies for run in study.runs}
    found = []
    for name, (ended, record) in records.items():
        if name not in journals:
            varied = _varied(record, sweeps.get(record["group"] or "", {}).get("varied", []))
            found.append(_finished(name, titles.get(name) or varied or name, ended, record))
    for name, content in journals.items():
        lives = is_held(output_dir / FOLDER / f"{name}.lock")
        pace = next((paces[key] for key in _alike(content) if key in paces), {})
        found.append(_unfinished(content, lives, pace, time.time()))
    waiting = [*_of_studies(studies, {run.name for run in found}), *_of_sweeps(sweeps, found)]
    return [*found, *(replace(run, left=sum(paces.get(run.group, {}).values()) or None) for run in waiting)]


def _records(output_dir: Path) -> Iterator[tuple[str, tuple[float, dict[str, Any]]]]:
    """Yield the name of each run that ended, when it did, and its record; those of whole runs last."""
    for file in ("stopped.json", "record.json"):
        for path in output_dir.glob(f"runs/*/{file}"):
            with suppress(FileNotFoundError):  # the run replaces one by the other
                ended_ns = path.stat().st_mtime_ns
                yield path.parent.name, (ended_ns / 1e9, read_json_once(path, ended_ns))


def _finished(name: str, title: str, ended: float, record: Mapping[str, Any]) -> Run:
    value = next(iter(record.get("results", ())), None)
    text = f"{value['metric']} {value['value']:.4g} on {value['dataset']}" if value else ""
    if "stopped_after" in record:
        text = f"ended after {record['stopped_after']}, as requested"
    return Run(name, title, record["group"] or "", "finished", record["seconds"], 0.0, 0, (), "", text, ended)


def _journals(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in folder.glob("[!.]*.json"):
        with suppress(FileNotFoundError):  # the run has just ended
            yield path.stem, read_json(path)


def _title(arm: Mapping[str, str], seed: object) -> str:
    return " · ".join([*arm.values(), f"s{seed}"])


def _varied(record: Mapping[str, Any], keys: Iterable[str]) -> str:
    """Return what the run of a sweep has where the sweep varies; nothing outside a sweep."""
    arm = {}
    for key in keys:
        value: Any = record["config"]
        for part in key.lstrip("+").split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        arm[key] = str(record["choices"].get(key, value))
    return _title(arm, record["config"]["seed"]) if arm else ""


def _unfinished(content: Mapping[str, Any], lives: bool, pace: Mapping[str, float], now: float) -> Run:
    state: State = "failed" if content["error"] else "running" if lives else "stopped"
    until = now if state == "running" else content["written"]
    entered, task = content["entered"], content["task"]
    number, phases = len(entered), content.get("phases", PHASES)  # of an earlier version
    doing = _in_words(task) if task else ""
    left = _seconds_left(phases, entered, task, pace, now) if state == "running" else None
    left = _forecast_left(content, now) if left is None and state == "running" else left
    seconds = until - content["started"]
    result = str(content["error"] or "").strip().split("\n")[0]
    return Run(
        content["name"], content["title"], content["group"] or "", state, seconds, left, number, phases, doing, result,
        until,
    )  # fmt: skip


def _forecast_left(content: Mapping[str, Any], now: float) -> float | None:
    """Return the time left by the run's own forecast when it last told."""
    left = content.get("left")
    return None if left is None else max(left - (now - content["written"]), 0.0)


def _in_words(task: Mapping[str, Any]) -> str:
    total = f" of {task['total']:,}" if task["total"] else ""
    return f"{task['name']}: {task['done']:,}{total} {task['unit']}"


def _seconds_left(
    phases: Sequence[str], entered: Mapping[str, float], task: Mapping[str, Any] | None, pace: Mapping[str, float],
    now: float,
) -> float | None:  # fmt: skip
    """Return the time of the phase at hand, by its own speed where it tells, and of those after it, by earlier runs.

    None where no run of the same sweep or choices is finished, so that nothing is known of phases to come.
    """
    if not pace or not entered:
        return None
    current = list(entered)[-1]
    rest = max(pace.get(current, 0.0) - (now - entered[current]), 0.0)
    # Elsewhere a phase is several pieces of work.
    if task and task["total"] and task["done"] and current in ("train", "baseline"):
        rest = (now - task["began"]) * (task["total"] - task["done"]) / task["done"]
    return rest + sum(pace.get(phase, 0.0) for phase in phases[len(entered) :])


def _alike(run: Mapping[str, Any]) -> list[str]:
    """Return what runs have in common that take about as long, the closest first: the sweep, and costly choices."""
    chosen = [run["choices"].get(group, "") for group in COSTLY]
    return [*([run["group"]] if run["group"] else []), " ".join(chosen)]


def _paces(records: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the median seconds of every phase over the finished runs of each sweep, and over those of like choices."""
    groups: dict[str, list[dict[str, float]]] = {}
    for record in records:
        for key in _alike(record):
            groups.setdefault(key, []).append(_phase_seconds(record))
    return {
        key: {phase: statistics.median(run[phase] for run in runs) for phase in PHASES} for key, runs in groups.items()
    }


def _phase_seconds(record: Mapping[str, Any]) -> dict[str, float]:
    seconds: dict[str, float] = dict.fromkeys(PHASES, 0.0)
    for stage in record["stages"]:
        if stage.get("own") and stage["stage"] in PHASE_OF:
            seconds[PHASE_OF[stage["stage"]]] += stage["seconds"]
        elif stage.get("role") == SELECTION:
            seconds["select"] += stage["seconds"]
        elif stage.get("role") == BASELINE:
            seconds["baseline"] += stage["seconds"]
    return seconds


def _of_studies(studies: Iterable[StudyRecord], known: set[str]) -> list[Run]:
    """Return the runs that studies list and that left nothing yet; one that two slices list counts once."""
    found: dict[str, Run] = {}
    for study in studies:
        for run in study.runs:
            name = Path(run.folder).name
            if name not in known:
                state: State = "failed" if run.error else "waiting"
                error = (run.error or "").strip().split("\n")[0]
                found[name] = Run(name, _title(run.arm, run.seed), study.name, state, result=error)
    return list(found.values())


def _of_sweeps(sweeps: Mapping[str, Mapping[str, Any]], found: Sequence[Run]) -> list[Run]:
    """Return the runs of a sweep that left nothing yet; only how many they are is known."""
    begun = Counter(run.group for run in found)
    return [
        Run(f"{group} {number}", "to come", group, "waiting")
        for group, sweep in sweeps.items()
        for number in range(begun[group], sweep.get("num_runs", 0))
    ]


def sweep_left(runs: Sequence[Run]) -> float | None:
    """Return the seconds until the last run of a sweep ends: what is left of all, over those that run at once.

    None where nothing runs, or nothing is known of one that is left.
    """
    open_runs = [run for run in runs if run.state in ("running", "waiting")]
    at_once = sum(run.state == "running" for run in runs)
    left = [run.left for run in open_runs]
    if not at_once or None in left:
        return None
    known = [seconds for seconds in left if seconds is not None]
    return max(sum(known) / at_once, max(known))
