"""Sends runs and studies to Weights & Biases, or keeps them on disk for `wandb sync`; never asks for a key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delt_exp.config.fields import check_settings
from delt_exp.config.run_name import RunInfo
from delt_exp.logger.base import StudyInfo
from delt_exp.logger.contents import scalars
from delt_exp.logger.wandb.connection import Mode, close, consume, open_run
from delt_exp.logger.wandb.names import MAX_CHARS, MAX_TAG_CHARS, check_names, short

if TYPE_CHECKING:
    import wandb

TAGGED_GROUPS = ("scorer", "selector", "orderer", "model")


@dataclass
class WandbLogger:
    """One W&B run per run, with the id of its science: an online run of the same science is resumed.

    A run of a study is named by its arm and seed, and the study is a run of the same group. `auto` follows the variable
    WANDB_MODE where it is set. WANDB_BASE_URL, WANDB_INIT_TIMEOUT and the other variables of W&B keep their meaning.
    Raises ConfigError for an unknown mode and, in `start`, for `online` without an API key; DependencyError where the
    server cannot be reached or refuses the run.
    """

    project: str
    entity: str | None
    mode: Mode
    tags: list[str]
    log_model: bool
    _info: Any = field(init=False, repr=False, default=None)
    _run: Any = field(init=False, repr=False, default=None)
    _first_step: int = field(init=False, repr=False, default=0)
    _tokens: int = field(init=False, repr=False, default=0)

    def __post_init__(self) -> None:
        check_settings(WandbLogger, vars(self), "logger.wandb")
        check_names(self.project, self.entity, self.tags)

    def start(self, run: RunInfo) -> None:
        """Open the run; raises what `open_run` raises."""
        self._run = self._open(
            run.folder,
            id=run.id,
            name=short(run.title, MAX_CHARS),
            group=None if run.group is None else short(run.group, MAX_CHARS),
            job_type="experiment",
            tags=[*(short(f"{group}={run.choices[group]}", MAX_TAG_CHARS) for group in TAGGED_GROUPS), *self.tags],
            config={**run.config, "choices": dict(run.choices), "arm": arm_config(run.arm), "folder": run.name},
        )
        self._info, self._tokens = run, 0
        self._first_step = self._run.step  # a resumed run has the lines before
        self._run.define_metric("train/tokens")
        self._run.define_metric("train/*", step_metric="train/tokens")
        self._run.define_metric("eval/*", step_metric="train/tokens")
        self._run.define_metric("train/loss", step_metric="train/tokens", summary="min")

    def metrics(self, row: Mapping[str, float]) -> None:
        """Log one line of training at its step; `train/tokens` is the axis of the curves."""
        self._tokens = int(row["tokens"])
        if row["step"] < self._first_step:
            return
        axes = {f"train/{name}": row[name] for name in ("step", "tokens", "seconds")}
        losses = {name: value for name, value in row.items() if name.startswith("train/")}
        self._run.log({**axes, **losses}, step=int(row["step"]))

    def finish(self, record: Mapping[str, Any]) -> None:
        """Log results, tables, pictures and artifacts, and close the run."""
        from delt_exp.logger.wandb.contents import artifacts, media, summary

        folder = self._info.folder
        try:
            self._run.log({"train/tokens": self._tokens, **scalars(record), **media(folder, record)})
            self._run.summary.update(summary(record))
            self._run.save(folder / "record.json", base_path=folder, policy="now")
            logged = [self._log(artifact) for artifact in artifacts(self._info, self.log_model)]
            for artifact in logged[:-1]:  # the model was made from the others
                consume(self._run, artifact)
        except BaseException:
            self.abandon()
            raise
        close(self._run, folder, exit_code=0)
        self._run = None

    def _open(self, folder: Path, **identity: Any) -> "wandb.Run":
        return open_run(self.mode, folder, project=self.project, entity=self.entity, **identity)

    def _log(self, artifact: "wandb.Artifact") -> "wandb.Artifact":
        """Log an artifact under the run's id too, by which a study finds it."""
        return self._run.log_artifact(artifact, aliases=["latest", self._info.id])

    def abandon(self) -> None:
        """Close the run as failed."""
        if self._run is not None:
            close(self._run, self._info.folder, exit_code=1)
        self._run = None

    def log_study(self, study: StudyInfo) -> None:
        """Log tables, figures, page and artifact of a study as one run of its group; errors as in `start`."""
        from delt_exp.logger.wandb.study import artifact, media, models

        run = self._open(
            study.folder,
            id=study.id,
            name=short(study.name, MAX_CHARS),
            group=short(study.name, MAX_CHARS),
            job_type="study",
            notes=f"{study.question}\n\n{study.findings.answer}",
            tags=self.tags,
            config={"study": dict(study.config)},
        )
        exit_code = 1
        try:
            run.log(media(study))
            run.log_artifact(artifact(study))
            for model in models(study):
                consume(run, model)
            exit_code = 0
        finally:
            close(run, study.folder, exit_code)


def arm_config(arm: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of an arm as W&B can group by them: a dot in the name of a key would mean a level."""
    return {dimension.replace(".", "_"): label for dimension, label in arm.items()}
