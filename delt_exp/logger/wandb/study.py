"""A study in the types of Weights & Biases: tables, interactive figures, page and artifact."""

from collections.abc import Iterator
from typing import Any

import plotly.graph_objects as go
import wandb

from delt_exp.logger.base import StudyInfo
from delt_exp.logger.wandb import names as wandb_names
from delt_exp.logger.wandb.contents import artifact_name
from delt_exp.report.stages import own_stage
from delt_exp.report.tables import plain_rows


def media(study: StudyInfo) -> dict[str, Any]:
    """Return `tables/<name>`, with intervals as in the CSV files, `figures/<name>`, `study_report` and `answer`."""
    tables = {f"tables/{table.name}": plain_rows(table) for table in study.findings.tables}
    figures = {f"figures/{figure.name}": figure.spec for figure in study.findings.figures}
    return {
        **{name: wandb.Table(columns=[*columns], data=rows) for name, (columns, rows) in tables.items()},
        **{name: wandb.Plotly(go.Figure(spec)) for name, spec in figures.items()},
        "study_report": wandb.Html(study.folder / "report.html", inject=False),
        "answer": study.findings.answer,
    }


def artifact(study: StudyInfo) -> wandb.Artifact:
    """Return tables, page and study.json; metadata: ids of its runs, and the keys of their models in the store."""
    name = wandb_names.artifact_name("study", study.name)
    keys = [own_stage(record, "model")["key"] for record in study.runs]
    metadata = {"question": study.question, "runs": [record["id"] for record in study.runs], "models": keys}
    result = wandb.Artifact(name, type="study", metadata=metadata)
    tables = [f"tables/{table.name}.{suffix}" for table in study.findings.tables for suffix in ("csv", "md", "tex")]
    for place in ("study.json", "report.html", *tables):
        result.add_file(str(study.folder / place), name=place, policy="immutable", skip_cache=True)
    return result


def models(study: StudyInfo) -> Iterator[str]:
    """Yield the artifact of every run's model, named by the run's id."""
    for record in study.runs:
        yield f"{artifact_name('model', record['choices'])}:{record['id']}"
