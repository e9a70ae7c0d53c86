"""Real processes for tests to kill and to wait for, forked from the server of ranks, which has loaded torch already.

Each has an id, signals and an exit status of its own like one that is started anew, but spares four seconds of imports.
"""

import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from delt_exp.distributed import job as job_module
from delt_exp.distributed.job import run_job
from delt_exp.distributed.processes import enter, first_environment, forked

ROOT = Path(__file__).parents[1]


def start(function: Callable[..., Any], *arguments: Any, log: Path | None = None) -> Any:
    """Start `function(*arguments)` in the current folder and environment, as the leader of a session of its own.

    log: a file for what it says. Returns a `multiprocessing.Process`; it ends with this process.
    """
    given = (first_environment(), dict(os.environ), os.getcwd(), log or Path(os.devnull), function, arguments)
    process = forked().Process(target=_run, args=given)
    process.start()
    return process


def _run(
    server: dict[str, str], caller: dict[str, str], folder: str, log: Path, function: Callable[..., Any], arguments: Any
) -> None:
    enter(server, caller)
    os.setsid()
    os.chdir(folder)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    function(*arguments)


def start_run(*overrides: str, log: Path | None = None) -> Any:
    """Start `python run.py` with these overrides in the current folder."""
    return start(_run_py, overrides, log=log)


def _run_py(overrides: tuple[str, ...]) -> None:
    sys.argv = ["run.py", *overrides]
    runpy.run_path(str(ROOT / "run.py"), run_name="__main__")


def start_job(job: Path) -> Any:
    """Start a process that does a job, which may name functions of tests."""
    return start(_do, job)


def _do(job: Path) -> None:
    job_module.PACKAGES = ("delt_exp.", "tests.")
    run_job(job)


def exit_status(process: Any) -> int:
    """Wait for a process and return its exit status; of one that was killed, minus the signal."""
    process.join()
    return int(process.exitcode)
