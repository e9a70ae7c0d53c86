"""All runs of an output folder as one table."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delt_exp.config.identity import flat
from delt_exp.config.run_name import NOT_SCIENCE
from delt_exp.errors import DataError
from delt_exp.report.prepared import record_of
from delt_exp.report.record import first_results
from delt_exp.watch.runs import read_runs

if TYPE_CHECKING:
    import pandas as pd

UNSEEN = ("hydra", "study", "experiment")  # groups whose options are seen in what they choose


def runs(output_dir: str | os.PathLike[str] = "outputs") -> "pd.DataFrame":
    """Return one row per run by its name, oldest first: the settings that differ, results, seconds, folder.

    Columns are the groups and keys in which the runs differ, `state` (finished, stopped, failed or running), the first
    metric of each evaluation set as `<dataset> <metric>`, `seconds` and `folder`. A key of a component that only some
    runs chose is no column: the choice is. Raises DataError for a folder without runs.
    """
    import pandas as pd

    place = Path(output_dir).expanduser()
    found = [run for run in read_runs(place) if run.state != "waiting"] if place.is_dir() else []
    if not found:
        raise DataError(f"{place} has no runs; give the output_dir of the runs, which is outputs by default")
    folders = {run.name: place / "runs" / run.name for run in found}
    records = {name: record_of(folder) or {} for name, folder in folders.items()}
    settings = _differing({name: _settings(record) for name, record in records.items() if record})
    rows = {
        run.name: {
            **settings.get(run.name, {}),
            "state": run.state,
            **first_results(records[run.name]),
            "seconds": run.seconds,
            "folder": str(folders[run.name]),
        }
        for run in sorted(found, key=lambda run: (records[run.name].get("started", "~"), run.name))
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    last = [name for name in ("seconds", "folder") if name in table]
    return table[[*(name for name in table if name not in last), *last]].rename_axis("run")


def _settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return choices and keys of a run that decide what it is, by their names on the command line."""
    config = {key: value for key, value in record["config"].items() if key not in NOT_SCIENCE}
    choices = {key: value for key, value in record["choices"].items() if key.split("/")[0] not in UNSEEN}
    return {**{key: value for key, value in flat(config).items() if "_target_" not in key}, **choices}


def _differing(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the settings that all runs have and that are not the same in all, choices of groups first."""
    if not settings:
        return {}
    common = [key for key in next(iter(settings.values())) if all(key in found for found in settings.values())]
    varied = [key for key in common if len({repr(found[key]) for found in settings.values()}) > 1]
    chosen = [key for key in varied if "." not in key]
    inside = [key for key in varied if "." in key and not _belongs(key, chosen)]
    return {name: {key: found[key] for key in [*chosen, *inside]} for name, found in settings.items()}


def _belongs(key: str, groups: Sequence[str]) -> bool:
    """Whether a key is one of a component that the runs chose differently."""
    return key.split(".")[0] in {group.split("@")[0] for group in groups}
