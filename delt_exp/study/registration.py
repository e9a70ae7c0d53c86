"""A study that is fixed before its first run: its question, its runs, and the threshold of its answer.

`<store>/registered/NAME.json` holds the definition, its digest, when it was written, and which models the store had
then: a study that shares runs with an earlier one, or repeats it under another name, says on its page how many of its
results could be known. It is no stage: freeing the store leaves it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from textwrap import shorten
from typing import Any

from omegaconf import DictConfig

from delt_exp.config.build import plain
from delt_exp.config.identity import differences
from delt_exp.errors import ConfigError, StoreError
from delt_exp.files import digest, disk_errors, read_json, write_json
from delt_exp.progress import say
from delt_exp.study.record import Registration, StudyRecord

RESTORE = "restore it from a copy"
NOT_ASKED = ("_target_", "registered", "forecast")  # of a study: nothing that its answer depends on


@dataclass(frozen=True)
class _Entry:
    """What the file holds."""

    registration: Registration
    definition: dict[str, Any]


def definition(
    record: StudyRecord, configs: Sequence[DictConfig], study: Any, files: Sequence[str]
) -> dict[str, Any]:  # fmt: skip
    """Return what a registration fixes: the study's own keys, its hold-out sets, and the configuration of every run.

    study: its node of the configuration. runs: names that hold the hash of each run's configuration. files: hashes of
    what candidates, targets and evaluation sets are read from.
    """
    asked = {key: value for key, value in plain(study).items() if key not in NOT_ASKED}
    hold_out = {digest(plain(cfg.eval_dataset)): plain(cfg.eval_dataset) for cfg in configs}
    return {
        "question": record.question,
        "study": asked,
        "hold_out": list(hold_out.values()),
        "files": list(files),
        "settings": record.settings,
        "runs": sorted(Path(run.folder).name for run in record.runs),
    }


def registration(
    root: Path, record: StudyRecord, fixed: dict[str, Any], *, wanted: bool, dry: bool = False
) -> Registration | None:
    """Return the registration of a study, made now where it is `wanted`; None for an exploratory study.

    dry: only say what would happen. Raises ConfigError where the study was registered with another definition, or is to
    be registered although some of its runs are finished.
    """
    path = _path(root, record.name)
    if path.exists():
        return _unchanged(path, record.name, fixed)
    if not wanted:
        return None
    if finished := len(record.finished()):
        raise ConfigError(
            f"study.registered=true, but {finished} of {len(record.runs)} runs of {record.name} are finished, and "
            "their results are known. Register a study before its first run: one with other seeds (study.seeds=[...]) "
            "and another name (name=...), or leave study.registered=false"
        )
    if dry:
        say("The study would be registered now, before its first run.")
        return None
    trained = sorted(path.parent.name for path in (root / "model").glob("*/entry.json"))
    entry = _Entry(Registration(datetime.now(UTC).isoformat(timespec="seconds"), digest(fixed), trained), fixed)
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(entry))
    return entry.registration


def is_registered(root: Path, name: str) -> bool:
    """Whether a study of this name is registered."""
    return _path(root, name).exists()


def _path(root: Path, name: str) -> Path:
    return root / "registered" / f"{name}.json"


def _unchanged(path: Path, name: str, fixed: dict[str, Any]) -> Registration:
    content = read_json(path, cure=RESTORE)
    found = _Entry(Registration(**content["registration"]), content["definition"])
    if digest(found.definition) != found.registration.digest:
        raise StoreError(f"{path} was changed after it was written: its digest does not fit; {RESTORE}")
    if "files" not in found.definition:  # of an earlier version
        fixed = {key: value for key, value in fixed.items() if key != "files"}
    if changed := _changes(found.definition, fixed):
        raise ConfigError(
            f"{name} was registered on {found.registration.date[:10]} with another definition "
            f"({'; '.join(changed[:3])}); run what was registered, or give this study another name with name=..."
        )
    return found.registration


def _changes(found: dict[str, Any], fixed: dict[str, Any]) -> list[str]:
    """Return differences, each in short; the names of runs come last, because they follow from the others."""
    here, there = (set(definition["runs"]) for definition in (found, fixed))
    changed = differences({**found, "runs": None}, {**fixed, "runs": None})
    if here != there:
        changed.append(f"runs: {_names(here - there)} -> {_names(there - here)}")
    return [shorten(text, 200, placeholder=" ...") for text in changed]


def _names(runs: set[str]) -> str:
    return ", ".join(sorted(runs)[:1]) + (f" and {len(runs) - 1} others" if len(runs) > 1 else "") or "none"
