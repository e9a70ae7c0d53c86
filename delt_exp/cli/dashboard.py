"""Create or update a W&B workspace for a study that was run with logger=wandb."""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delt_exp.cli.reporting import reporting
from delt_exp.errors import ConfigError, DependencyError
from delt_exp.files import read_json, write_json
from delt_exp.study.page import read_findings
from delt_exp.study.record import StudyRecord, read_study

if TYPE_CHECKING:
    import wandb_workspaces.workspaces as ws

PLACE = "dashboard.json"  # in the study's folder: where its workspace is


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m delt_exp.study.dashboard", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of a study, such as outputs/detection")
    parser.add_argument("--project", help="W&B project (default: that of the runs)")
    parser.add_argument("--entity", help="W&B team (default: that of the runs, else your default team)")
    parser.add_argument("--dry-run", action="store_true", help="show the layout; needs neither key nor network")
    given = parser.parse_args()
    with reporting():
        if given.dry_run:
            print("\n".join(outline(planned(given.folder, given.project, given.entity))))
        else:
            print(create(given.folder, given.project, given.entity))


def planned(folder: Path, project: str | None, entity: str | None) -> "ws.Workspace":
    """Return the workspace of the study in `folder`, nothing of it created; None stands for what its runs used.

    Raises DataError where no run is finished, ConfigError where none was logged to W&B, DependencyError without the
    package wandb-workspaces.
    """
    try:
        from delt_exp.study.dashboard.layout import layout
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "wandb_workspaces":
            raise
        raise DependencyError(
            "a dashboard needs the package wandb-workspaces, which is not installed; run: "
            'pip install "delt-exp[dashboard]"'
        ) from None
    study, config = read_study(folder)
    used = _logger_of(study)
    _, findings = read_findings(folder)
    return layout(study, config["report"], findings, project or used["project"], entity or used["entity"] or "")


def _logger_of(study: StudyRecord) -> Mapping[str, Any]:
    """Return the W&B settings of the last finished run in the plan that had any."""
    loggers = [(run.record() or {})["config"]["logger"] for run in study.finished()]
    settings = [nodes["wandb"] for nodes in loggers if "wandb" in nodes]
    if not settings:
        raise ConfigError(
            f"no finished run of {study.folder} was logged to W&B; repeat the study's command with logger=wandb "
            "(finished stages are reused)"
        )
    return settings[-1]


def create(folder: Path, project: str | None, entity: str | None) -> str:
    """Create the workspace of a study, or update the one created before, and return its address.

    Raises what `planned` raises, ConfigError without an API key, DependencyError where the server refuses or is not
    reached.
    """
    import wandb
    from wandb.errors import Error

    workspace = planned(folder, project, entity)
    if not wandb.login(prompt=False, verify=False):
        raise ConfigError(
            "no W&B API key is configured, or WANDB_MODE forbids its use; run `wandb login` or set WANDB_API_KEY "
            "(--dry-run shows the layout without one)"
        )
    try:
        workspace.entity = workspace.entity or str(wandb.Api().default_entity)
        saved = _earlier(folder / PLACE, workspace).save()
        place = {"url": saved.url, "entity": saved.entity, "project": saved.project}
    except (Error, OSError) as error:
        reason = f"W&B refused the dashboard or cannot be reached: {error}"
        raise DependencyError(f"{reason}; check the network and the key, or see the layout with --dry-run") from error
    write_json(folder / PLACE, place)
    return place["url"]


def _earlier(place: Path, wanted: "ws.Workspace") -> "ws.Workspace":
    """Return the workspace created before, with the wanted content; the wanted one where there is none any more."""
    known = read_json(place) if place.exists() else {}
    if (known.get("entity"), known.get("project")) != (wanted.entity, wanted.project):
        return wanted
    try:
        earlier = type(wanted).from_url(known["url"])
    except ValueError:  # it was deleted in W&B
        return wanted
    earlier.name, earlier.sections = wanted.name, wanted.sections
    earlier.settings, earlier.runset_settings = wanted.settings, wanted.runset_settings
    return earlier


def outline(workspace: "ws.Workspace") -> Iterator[str]:
    """Yield the layout in words, one line per panel."""
    entity = workspace.entity or "your default team"
    yield f"workspace {workspace.name} in {entity}/{workspace.project}"
    yield f"runs: {workspace.runset_settings.filters}"
    yield f"grouped by: {', '.join(key.name for key in workspace.runset_settings.groupby)}"
    for section in workspace.sections:
        yield section.name
        for panel in section.panels:
            about = getattr(panel, "title", None) or getattr(panel, "table_name", "question and answer")
            yield f"  {type(panel).__name__}: {about}"
