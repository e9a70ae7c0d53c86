"""Opens and closes runs of Weights & Biases, online or on disk; never asks for a key."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from delt_exp.errors import ConfigError, DependencyError
from delt_exp.progress import say

if TYPE_CHECKING:
    import wandb

Mode = Literal["auto", "online", "offline", "disabled"]


def open_run(mode: str, folder: Path, **identity: Any) -> "wandb.Run":
    """Return a new run with its files below `folder`; an online run of the same id is resumed.

    identity: project, id, name and the like, for `wandb.init`. Raises ConfigError for `online` without an API key or a
    value that W&B refuses, DependencyError where the server cannot be reached or refuses the run.
    """
    import wandb
    from wandb.errors import AuthenticationError, CommError, UsageError

    chosen: Any = _chosen_mode(mode)
    settings = wandb.Settings(
        reinit="create_new",  # leaves a run alone that a notebook has open
        console="off",
        disable_git=True,  # the record has the commit; remotes can hold passwords
    )
    resume: Any = "allow" if chosen == "online" else None  # W&B warns that it cannot resume a run on disk
    try:
        return wandb.init(dir=str(folder), mode=chosen, resume=resume, settings=settings, **identity)
    except (AuthenticationError, CommError) as error:
        wandb.teardown()  # else the failed attempt occupies the id
        raise DependencyError(
            f"logger=wandb cannot log online: {error}; check the network and the key, wait longer with "
            "WANDB_INIT_TIMEOUT, or use logger.wandb.mode=offline and `wandb sync` later"
        ) from error
    except (UsageError, ValueError) as error:  # its settings are checked by pydantic, whose errors are ValueErrors
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"logger=wandb: W&B refuses this run: {reason}; correct the keys of logger.wandb, or name"
        ) from error


def _chosen_mode(mode: str) -> str:
    """Return what `auto` means here: W&B would ask a person at the keyboard for the key that is not configured."""
    import wandb

    wanted = os.environ.get("WANDB_MODE", "auto") if mode == "auto" else mode
    if wanted in ("offline", "disabled"):
        return wanted
    if wandb.login(prompt=False, verify=False):
        return "online"
    if mode == "online":
        raise ConfigError(
            "logger.wandb.mode is 'online', but no W&B API key is configured or WANDB_MODE forbids it; run "
            "`wandb login`, set WANDB_API_KEY, or use logger.wandb.mode=auto or offline"
        )
    return "offline"


def consume(run: "wandb.Run", artifact: "wandb.Artifact | str") -> None:
    """Say online that a run was made from an artifact that is logged; say so where that fails."""
    from wandb.errors import Error

    if run.offline or run.disabled:  # consuming needs the server
        return
    name = artifact if isinstance(artifact, str) else artifact.name
    try:
        ready = artifact if isinstance(artifact, str) else artifact.wait(timeout=round(run.settings.finish_timeout))
        run.use_artifact(ready)
    except (Error, ValueError) as error:  # the run itself is complete
        say(f"logger=wandb: {name} is not shown as consumed: {error}")


def close(run: "wandb.Run", folder: Path, exit_code: int) -> None:
    """Finish a run; one that has everything replaces what earlier attempts at it left on disk.

    Attempts that began later stay: their process may still write there. Folders are named by the time of their start.
    """
    run.finish(exit_code=exit_code)
    if run.disabled or exit_code:
        return
    own = Path(run.dir).parent
    for attempt in (folder / "wandb").glob(f"offline-run-*-{run.id}*"):
        if attempt.name < own.name:
            shutil.rmtree(attempt)
