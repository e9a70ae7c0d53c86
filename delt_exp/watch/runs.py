"""The runs of an output folder as its files tell: running, stopped, failed, waiting and finished, and time left."""

import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from delt_exp.files import read_json
from delt_exp.logger.journal import FOLDER, PHASES, Phase
from delt_exp.report.stages import SELECTION
from delt_exp.store.file_lock import is_held
from delt_exp.study.record import FILE, read_study

State = Literal["running", "stopped", "failed", "waiting", "finished"]
PHASE_OF: Mapping[str, Phase] = {
    "corpus": "read", "tokenizer": "read", "tokens": "read", "overlap": "read", "scores": "score", "model": "train",
    "evaluation": "evaluate",
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One run. seconds: since it began, or all of a finished one; left: seconds still to go, None where not known.

    phase: the number of the one that it is in, 0 before the first; doing: the piece of work at hand, in words.
    """

    name: str
    title: str
    group: str
    state: State
    seconds: float = 0.0
    left: float | None = None
    phase: int = 0
    doing: str = ""
    result: str = ""
    ended: float = 0.0


def read_runs(output_dir: Path) -> list[Run]:
    """Return all runs: those of studies that are still to come too."""
    files = output_dir.glob("runs/*/record.json")
    records = {path.parent.name: (path, _record(path, path.stat().st_mtime_ns)) for path in files}
    journals = dict(_journals(output_dir / FOLDER))
    paces = _paces(record for _, record in records.values())
    found = [_finished(name, path, record) for name, (path, record) in records.items() if name not in journals]
    for name, content in journals.items():
        lives = is_held(output_dir / FOLDER / f"{name}.lock")
        found.append(_unfinished(content, lives, paces.get(content["group"] or "", {}), time.time()))
    return [*found, *_waiting(output_dir, {run.name for run in found}, paces)]


@cache
def _record(path: Path, modified_ns: int) -> dict[str, Any]:
    record: dict[str, Any] = read_json(path)
    return record


def _finished(name: str, path: Path, record: Mapping[str, Any]) -> Run:
    results = record["results"]
    value = results[0] if results else None
    text = f"{value['metric']} {value['value']:.4g} on {value['dataset']}" if value else ""
    title = _title(record.get("arm") or {}, record["config"].get("seed"), name)
    group, ended = record.get("group") or "", path.stat().st_mtime
    return Run(name, title, group, "finished", record["seconds"], 0.0, len(PHASES), "", text, ended)


def _journals(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in folder.glob("[!.]*.json"):
        with suppress(FileNotFoundError):  # the run has just ended
            yield path.stem, read_json(path)


def _title(arm: Mapping[str, str], seed: object, name: str) -> str:
    return " · ".join([*arm.values(), f"s{seed}"]) if arm else name


def _unfinished(content: Mapping[str, Any], lives: bool, pace: Mapping[str, float], now: float) -> Run:
    state: State = "failed" if content["error"] else "running" if lives else "stopped"
    until = now if state == "running" else content["written"]
    entered, task = content["entered"], content["task"]
    number = len(entered)
    doing = _in_words(task) if task else ""
    left = _seconds_left(entered, task, pace, now) if state == "running" else None
    seconds = until - content["started"]
    result = str(content["error"] or "").strip().split("\n")[0]
    return Run(
        content["name"], content["title"], content["group"] or "", state, seconds, left, number, doing, result, until
    )


def _in_words(task: Mapping[str, Any]) -> str:
    total = f" of {task['total']:,}" if task["total"] else ""
    return f"{task['name']}: {task['done']:,}{total} {task['unit']}"


def _seconds_left(
    entered: Mapping[str, float], task: Mapping[str, Any] | None, pace: Mapping[str, float], now: float
) -> float | None:
    """Return the time of the phase at hand, by its own speed where it tells, and of those after it, by earlier runs.

    None where no run of the same sweep is finished, so that nothing is known of phases to come.
    """
    if not pace or not entered:
        return None
    current = list(entered)[-1]
    rest = max(pace.get(current, 0.0) - (now - entered[current]), 0.0)
    if task and task["total"] and task["done"] and current == "train":  # elsewhere a phase is several pieces of work
        rest = (now - task["began"]) * (task["total"] - task["done"]) / task["done"]
    return rest + sum(pace.get(phase, 0.0) for phase in PHASES[len(entered) :])


def _paces(records: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return for each sweep the median seconds of every phase of its finished runs."""
    groups: dict[str, list[dict[str, float]]] = {}
    for record in records:
        groups.setdefault(record.get("group") or "", []).append(_phase_seconds(record))
    return {
        group: {phase: statistics.median(run[phase] for run in runs) for phase in PHASES}
        for group, runs in groups.items()
        if group
    }


def _phase_seconds(record: Mapping[str, Any]) -> dict[str, float]:
    seconds: dict[str, float] = dict.fromkeys(PHASES, 0.0)
    for stage in record["stages"]:
        if stage.get("own") and stage["stage"] in PHASE_OF:
            seconds[PHASE_OF[stage["stage"]]] += stage["seconds"]
        elif stage.get("role") == SELECTION:
            seconds["select"] += stage["seconds"]
    return seconds


def _waiting(output_dir: Path, known: set[str], paces: Mapping[str, Mapping[str, float]]) -> list[Run]:
    """Return the runs that studies list and that have not begun; one that two slices list counts once."""
    found: dict[str, Run] = {}
    for file in output_dir.glob(f"*/{FILE}"):
        study, _ = read_study(file.parent)
        left = sum(paces.get(study.name, {}).values()) or None
        for run in study.runs:
            name = Path(run.folder).name
            if name in known or name in found:
                continue
            title = _title(run.arm, run.seed, name)
            state: State = "failed" if run.error else "waiting"
            result = (run.error or "").strip().split("\n")[0]
            found[name] = Run(name, title, study.name, state, left=None if run.error else left, result=result)
    return list(found.values())


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
