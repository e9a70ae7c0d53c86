"""Which stages of a run are its own results, and which were made on the way to them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from delt_exp.errors import DataError
from delt_exp.store.store import StageUse

# What stages are for that are neither the run's own results nor asked for by a stage of these.
SELECTION = "selection"  # a selector asked for them
BASELINE = "baseline"  # the run is compared with them
TUNING = "learning rate"  # the rates of a protocol were tried


def described(uses: Sequence[StageUse], roles: Mapping[str, Iterable[Path]]) -> list[dict[str, Any]]:
    """Return each stage once, as it was first obtained; asking again in the same run finds it.

    roles: what the run's own results are to it, by the folders of their stages. A stage of `own: true` has that `role`,
    or none; one of `own: false` was made for what its `role` names: a stage, as a proxy is for the scores,
    SELECTION, BASELINE or TUNING. `within` is what it was made for in either case; null for nothing else.
    """
    role_of = {folder: role for role, folders in reversed([*roles.items()]) for folder in folders}
    first = {(use.stage, use.key): use for use in reversed(uses)}
    return [_described(use, role_of.get(use.path)) for use in reversed(first.values())]


def _described(use: StageUse, role: str | None) -> dict[str, Any]:
    return {
        "stage": use.stage,
        "role": role or use.within,
        "own": role is not None or use.within is None,
        "within": use.within,
        "key": use.key,
        "path": str(use.path),
        "cached": use.cached,
        "seconds": use.seconds,
        "cost": use.cost,
    }


def own_stage(record: Mapping[str, Any], stage: str, role: str | None = None) -> Mapping[str, Any]:
    """Return the run's own stage of a kind, in the role of the same name or another; DataError where there is none."""
    role = role or stage
    found = [s for s in record["stages"] if s["stage"] == stage and s.get("own") and s["role"] == role]
    if not found:
        raise DataError(
            f"the record of run {record.get('name')} does not say which {stage!r} is its own: another version of this "
            "program wrote it. Repeat the command of the run or study: all results are reused and the record is "
            "written anew"
        )
    return found[0]
