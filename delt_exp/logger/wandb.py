"""Sends a run to Weights & Biases, or keeps it on disk for `wandb sync`; never asks for a key."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from delt_exp.errors import ConfigError, DependencyError
from delt_exp.logger.base import RunInfo
from delt_exp.logger.contents import eval_scalars
from delt_exp.progress import say

if TYPE_CHECKING:
    import wandb

Mode = Literal["online", "offline", "disabled"]
MODES = ("auto", "online", "offline", "disabled")
TAGGED_GROUPS = ("scorer", "selector", "orderer", "model")


@dataclass
class WandbLogger:
    """One W&B run per run, with the id of its science: an online run of the same science is resumed.

    `auto` follows the variable WANDB_MODE where it is set. WANDB_BASE_URL and the other variables of W&B keep their
    meaning. Raises ConfigError for an unknown mode and, in `start`, for `online` without an API key; DependencyError
    where `online` cannot reach the server or is refused.
    """

    project: str
    entity: str | None
    mode: str
    tags: list[str]
    log_model: bool
    start_timeout_seconds: int
    finish_timeout_seconds: int
    _info: RunInfo = field(init=False, repr=False)
    _run: Any = field(init=False, repr=False, default=None)
    _first_step: int = field(init=False, repr=False, default=0)
    _tokens: int = field(init=False, repr=False, default=0)

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"logger.wandb.mode is {self.mode!r}; allowed are {', '.join(MODES)}")

    def start(self, run: RunInfo) -> None:
        """Open the run; a server that refuses or does not answer is an error in mode `online` only."""
        import wandb
        from wandb.errors import AuthenticationError, CommError

        try:
            self._run = self._init(run, self._resolved_mode())
        except (AuthenticationError, CommError) as error:
            wandb.teardown()  # else the failed attempt occupies the id
            reason = f"logger=wandb cannot log online (waited at most {self.start_timeout_seconds} s): {error}"
            if self.mode == "online":
                raise DependencyError(f"{reason}; see to network and key, or use logger.wandb.mode=offline") from error
            say(f"{reason}; logging offline, `wandb sync` sends it later")
            self._run = self._init(run, "offline")
        self._info, self._tokens = run, 0
        self._first_step = self._run.step  # a resumed run has the lines before
        self._run.define_metric("train/tokens")
        self._run.define_metric("train/*", step_metric="train/tokens")
        self._run.define_metric("eval/*", step_metric="train/tokens")
        self._run.define_metric("train/loss", step_metric="train/tokens", summary="min")

    def _resolved_mode(self) -> Mode:
        import wandb

        wanted = os.environ.get("WANDB_MODE", "auto") if self.mode == "auto" else self.mode
        if wanted in ("offline", "disabled"):
            return cast(Mode, wanted)
        if wandb.login(prompt=False, verify=False):
            return "online"
        if self.mode == "online":
            raise ConfigError(
                "logger.wandb.mode is 'online', but no W&B API key is configured or WANDB_MODE forbids it; run "
                "`wandb login`, set WANDB_API_KEY, or use logger.wandb.mode=auto or offline"
            )
        return "offline"

    def _init(self, run: RunInfo, mode: Mode) -> "wandb.Run":
        import wandb

        settings = wandb.Settings(
            reinit="create_new",  # leaves a run alone that a notebook has open
            console="off",
            disable_git=True,  # the record has the commit; remotes can hold passwords
            init_timeout=self.start_timeout_seconds,
            finish_timeout=self.finish_timeout_seconds,
        )
        return wandb.init(
            project=self.project,
            entity=self.entity,
            id=run.id,
            name=run.name,
            group=run.group,
            job_type="experiment",
            tags=[*(f"{group}={run.choices[group]}" for group in TAGGED_GROUPS), *self.tags],
            config={**run.config, "choices": dict(run.choices)},
            dir=str(run.folder),
            mode=mode,
            resume="allow" if mode == "online" else None,
            settings=settings,
        )

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
        from delt_exp.logger.wandb_contents import media, summary

        folder = self._info.folder
        try:
            self._run.log({"train/tokens": self._tokens, **eval_scalars(record), **media(folder, record)})
            self._run.summary.update(summary(record))
            self._run.save(folder / "record.json", base_path=folder, policy="now")
            self._log_artifacts(self._run)
        except BaseException:
            self.abandon()
            raise
        self._run.finish()
        self._run = None

    def _log_artifacts(self, run: "wandb.Run") -> None:
        """Log the lineage; online the run also consumes what its model was made from."""
        from wandb.errors import Error

        from delt_exp.logger.wandb_contents import artifacts

        logged = [run.log_artifact(artifact) for artifact in artifacts(self._info, self.log_model)]
        if run.offline or run.disabled:  # consuming needs the server
            return
        for artifact in logged[:-1]:
            try:
                run.use_artifact(artifact.wait(timeout=self.finish_timeout_seconds))
            except (Error, ValueError) as error:  # the run itself is complete
                say(f"logger=wandb: {artifact.name} is not shown as consumed: {error}")

    def abandon(self) -> None:
        """Close the run as failed."""
        if self._run is not None:
            self._run.finish(exit_code=1)
        self._run = None
