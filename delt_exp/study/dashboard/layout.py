"""What the W&B workspace of a study shows; every key in it is one that the study's runs log."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from delt_exp.logger.contents import scalars
from delt_exp.logger.wandb.logger import arm_config
from delt_exp.report.findings import Findings
from delt_exp.study.record import StudyRecord

TOKENS, LOSS = "train/tokens", "train/loss"


def layout(
    study: StudyRecord, report: Mapping[str, Any], findings: Findings, project: str, entity: str
) -> ws.Workspace:
    """Return a workspace over the runs of the study, grouped by what it varies.

    report: the report's node of the study's configuration; its `metric` is what arms are compared by, else the loss.
    Sections without anything to show are left out.
    """
    logged = list(dict.fromkeys(key for run in study.finished() for key in scalars(run.record() or {})))
    outcomes = [key for key in logged if key.startswith("eval/") and key.endswith(f"/{report.get('metric', 'loss')}")]
    dimensions = list(dict.fromkeys(key for run in study.runs for key in arm_config(run.arm)))
    panels = {
        "Study": _study(study, findings),
        "Leaderboard": list(_leaderboard(outcomes, dimensions)),
        "Training": list(_training(dimensions)),
        "Alignment and loss": list(_alignment(logged, outcomes, report.get("primary"))),
        "Cost and gain": list(_cost(logged, outcomes)),
    }
    return ws.Workspace(
        entity=entity,
        project=project,
        name=study.name,
        sections=[ws.Section(name=name, panels=shown, is_open=True) for name, shown in panels.items() if shown],
        settings=ws.WorkspaceSettings(x_axis=TOKENS, max_runs=len(study.runs) + 1),
        runset_settings=ws.RunsetSettings(
            filters=[ws.Metric("Group") == study.name],
            groupby=[ws.Config(f"arm.{dimension}") for dimension in dimensions],
            pinned_columns=[f"summary:{key}" for key in [*outcomes, *(k for k in logged if k.startswith("cost/"))]],
        ),
    )


def _study(study: StudyRecord, findings: Findings) -> list[Any]:
    """Return what the study's own run logs."""
    return [
        wr.MarkdownPanel(markdown=f"**{study.question}**\n\n{findings.answer}"),
        *(wr.MediaBrowser(title=figure.title, media_keys=[f"figures/{figure.name}"]) for figure in findings.figures),
        *(wr.WeavePanelSummaryTable(table_name=f"tables/{table.name}") for table in findings.tables),
        wr.MediaBrowser(title="The page of the study", media_keys=["study_report"]),
    ]


def _leaderboard(outcomes: Sequence[str], dimensions: Sequence[str]) -> Iterator[Any]:
    """Bars of means with standard errors: of every arm, and over all arms that share a label."""
    over_seeds: dict[str, Any] = {"groupby_aggfunc": "mean", "groupby_rangefunc": "stderr"}
    for key in outcomes:
        yield wr.BarPlot(title=f"{key} by arm", metrics=[key], **over_seeds)
        for dimension in dimensions if len(dimensions) > 1 else ():
            group = wr.Config(f"arm.{dimension}")
            yield wr.BarPlot(title=f"{key} by {dimension}", metrics=[key], groupby=group, **over_seeds)


def _training(dimensions: Sequence[str]) -> Iterator[Any]:
    over_seeds: dict[str, Any] = {"groupby_aggfunc": "mean", "groupby_rangefunc": "minmax"}
    yield wr.LinePlot(title="Training loss by arm", x=TOKENS, y=[LOSS], **over_seeds)
    for dimension in dimensions if len(dimensions) > 1 else ():
        group = wr.Config(f"arm.{dimension}")
        yield wr.LinePlot(title=f"Training loss by {dimension}", x=TOKENS, y=[LOSS], groupby=group, **over_seeds)


def _alignment(logged: Sequence[str], outcomes: Sequence[str], primary: str | None) -> Iterator[Any]:
    """Scatter with regression of each evaluation set; all metrics where the report has no primary one."""
    for key in logged:
        kind, _, rest = key.partition("/")
        dataset, _, metric = rest.rpartition("/")
        outcome = f"eval/{dataset}/loss"
        if kind == "alignment" and outcome in outcomes and metric == (primary or metric):
            yield _scatter(key, outcome, regression=True)


def _cost(logged: Sequence[str], outcomes: Sequence[str]) -> Iterator[Any]:
    for outcome in outcomes:
        for key in logged:
            if key.startswith("cost/"):
                yield _scatter(key, outcome, regression=False)


def _scatter(x: str, y: str, regression: bool) -> Any:
    return wr.ScatterPlot(title=f"{y} over {x}", x=wr.SummaryMetric(x), y=wr.SummaryMetric(y), regression=regression)
