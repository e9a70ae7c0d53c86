"""Reads an audit: which sequences made which optimizer step, over all processes and resumed sessions."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from delt_exp.certificate.audit import file_of
from delt_exp.errors import DataError


@dataclass
class Session:
    """One start of one process. steps: digests of each optimizer step, the first of which is `begins` + 1."""

    begins: int
    world: int
    steps: dict[int, list[int]]


@dataclass(frozen=True)
class Played:
    """What was trained. ranks: of each step from 0, the digests by process. resumed: steps at which a session began."""

    ranks: list[list[list[int]]]
    resumed: frozenset[int]


def read_audit(folder: Path) -> Played:
    """Return what counts in the end: a step that a resumed run repeated counts once, as the later run played it.

    Raises DataError where the file of a process or a step is missing.
    """
    if not file_of(folder, 0).exists():
        raise DataError(f"{folder} has no audit: {file_of(folder, 0).name} is missing; train with OrderAudit({folder})")
    first = _final(_sessions(file_of(folder, 0)))
    worlds = {step: session.world for session in first for step in session.steps}
    files = {rank: file_of(folder, rank) for rank in range(max((s.world for s in first), default=1))}
    if missing := [path.name for path in files.values() if not path.exists()]:
        raise DataError(f"{folder} lacks {', '.join(missing)}: copy the files of all processes into one folder")
    by_rank = [_steps(path) for path in files.values()]
    ranks = []
    for number, step in enumerate(sorted(worlds), 1):
        if step != number or any(step not in by_rank[rank] for rank in range(worlds[step])):
            raise DataError(
                f"{folder} has a gap at step {number}: steps before a checkpoint are missing (flush the audit before "
                "saving), or those of a process"
            )
        ranks.append([by_rank[rank][step] for rank in range(worlds[step])])
    return Played(ranks, frozenset(session.begins for session in first if session.begins))


def _steps(path: Path) -> dict[int, list[int]]:
    return {step: digests for session in _final(_sessions(path)) for step, digests in session.steps.items()}


def _sessions(path: Path) -> list[Session]:
    sessions: list[Session] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        record = _parsed(line)
        if "begins" in record:
            sessions.append(Session(record["begins"], record["world"], {}))
        elif "step" in record and sessions:
            sessions[-1].steps[record["step"]] = [int(name, 16) for name in record["digests"]]
    return sessions


def _parsed(line: str) -> dict[str, Any]:
    """Return the record of a line; a line that a kill cut short has none."""
    try:
        record: dict[str, Any] = json.loads(line) if line else {}
    except json.JSONDecodeError:
        return {}
    return record


def _final(sessions: list[Session]) -> list[Session]:
    """Take from each session the steps that a later one did again."""
    for number, session in enumerate(sessions):
        later = min((other.begins for other in sessions[number + 1 :]), default=None)
        if later is not None:
            session.steps = {step: digests for step, digests in session.steps.items() if step <= later}
    return sessions
