"""Opens and closes runs of Weights & Biases, online or on disk; never asks for a key."""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from filelock import FileLock, Timeout

from delt_exp.errors import ConfigError, DependencyError
from delt_exp.progress import say

if TYPE_CHECKING:
    import wandb

Mode = Literal["online", "offline", "disabled"]
MODES = ("auto", "online", "offline", "disabled")
LOCK = "writing.lock"  # in a run's folder; held by the process that writes there
_held: dict[Path, FileLock] = {}


@dataclass(frozen=True)
class Connection:
    """Where runs go and how long to wait; see conf/logger/wandb.yaml. Raises ConfigError for an unknown mode."""

    project: str
    entity: str | None
    mode: str
    start_timeout_seconds: int
    finish_timeout_seconds: int

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"logger.wandb.mode is {self.mode!r}; allowed are {', '.join(MODES)}")

    def open(self, folder: Path, **identity: Any) -> "wandb.Run":
        """Return a new run with its files below `folder`; an online run of the same id is resumed.

        identity: id, name, group and the like, for `wandb.init`. Raises ConfigError for `online` without an API key or
        a value that W&B refuses, DependencyError where `online` cannot reach the server or is refused.
        """
        import wandb
        from wandb.errors import AuthenticationError, CommError, UsageError

        try:
            return self._init(folder, self._resolved_mode(), identity)
        except (AuthenticationError, CommError) as error:
            wandb.teardown()  # else the failed attempt occupies the id
            reason = f"logger=wandb cannot log online (waited at most {self.start_timeout_seconds} s): {error}"
            if self.mode == "online":
                raise DependencyError(f"{reason}; see to network and key, or use logger.wandb.mode=offline") from error
            say(f"{reason}; logging offline, `wandb sync` sends it later")
            return self._init(folder, "offline", identity)
        except (UsageError, ValueError) as error:  # its settings are checked by pydantic, whose errors are ValueErrors
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"logger=wandb: W&B refuses this run: {reason}; correct the keys of logger.wandb, or name"
            ) from error

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

    def _init(self, folder: Path, mode: Mode, identity: dict[str, Any]) -> "wandb.Run":
        import wandb

        settings = wandb.Settings(
            reinit="create_new",  # leaves a run alone that a notebook has open
            console="off",
            disable_git=True,  # the record has the commit; remotes can hold passwords
            init_timeout=self.start_timeout_seconds,
            finish_timeout=self.finish_timeout_seconds,
        )
        run = wandb.init(
            project=self.project,
            entity=self.entity,
            dir=str(folder),
            mode=mode,
            resume="allow" if mode == "online" else None,
            settings=settings,
            **identity,
        )
        if not run.disabled:
            own = Path(run.dir).parent
            _held[own] = FileLock(own / LOCK)
            _held[own].acquire()
        return run

    def consume(self, run: "wandb.Run", artifact: "wandb.Artifact | str") -> None:
        """Say online that a run was made from an artifact that is logged; say so where that fails."""
        from wandb.errors import Error

        if run.offline or run.disabled:  # consuming needs the server
            return
        name = artifact if isinstance(artifact, str) else artifact.name
        try:
            ready = artifact if isinstance(artifact, str) else artifact.wait(timeout=self.finish_timeout_seconds)
            run.use_artifact(ready)
        except (Error, ValueError) as error:  # the run itself is complete
            say(f"logger=wandb: {name} is not shown as consumed: {error}")


def close(run: "wandb.Run", folder: Path, exit_code: int) -> None:
    """Finish a run; one that has everything replaces what earlier attempts at it left on disk."""
    run.finish(exit_code=exit_code)
    if run.disabled:
        return
    own = Path(run.dir).parent
    if exit_code == 0:
        for earlier in set((folder / "wandb").glob(f"offline-run-*-{run.id}*")) - {own}:  # -1: of the same second
            with suppress(Timeout), FileLock(earlier / LOCK, timeout=0):  # held where another process writes
                shutil.rmtree(earlier)
    _held.pop(own).release()
