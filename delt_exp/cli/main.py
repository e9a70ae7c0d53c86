"""The command line: Hydra, with help that lists every option and errors that name the nearest right word.

Nothing here imports torch, Lightning or transformers: `--help` and `--cfg job` answer at once.
"""

import gc
import os
import re
import signal
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from delt_exp.cli.arms import in_full
from delt_exp.cli.help import help_text
from delt_exp.cli.reporting import fail, reporting
from delt_exp.config.build import CONF
from delt_exp.errors import ConfigError, DeltError

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main() -> None:
    """Run the command line of `run.py`; Ctrl-C and SIGTERM are one line, and leave no process behind."""
    before = signal.signal(signal.SIGTERM, _like_ctrl_c)
    try:
        _main()
    except KeyboardInterrupt:
        _leave_interrupted()
    finally:
        signal.signal(signal.SIGTERM, before)


def _like_ctrl_c(*_: Any) -> NoReturn:
    """End in order, which ends workers too; at once, as is the default, they would wait for more work."""
    raise KeyboardInterrupt


def _leave_interrupted() -> NoReturn:
    print("interrupted; the same command continues where this one stopped", file=sys.stderr)
    raise SystemExit(130) from None


def _main() -> None:
    with reporting():
        arguments = in_full(at_scale([at_home(text) for text in sys.argv[1:]]))
        if {"--help", "-h"} & set(arguments):
            print(help_text(CONF, [text for text in arguments if not text.startswith("-")]))
            return
        from delt_exp.cli.check import check_command
        from delt_exp.config.compose import hydra_at

        args = check_command(CONF, arguments)
        if args.is_rare:
            _leave_to_hydra(arguments)
            return
        if args.multirun:
            _collect_garbage()  # every configuration leaves some
        with hydra_at(CONF) as hydra:  # which remembers what was composed for the check
            if args.cfg is not None:
                hydra.show_cfg("config", args.overrides, args.cfg, args.package, args.resolve)
            elif args.multirun:
                hydra.multirun("config", _job, args.overrides)
            else:
                hydra.run("config", _job, args.overrides)


def _leave_to_hydra(arguments: list[str]) -> None:
    import hydra

    from delt_exp.config.run_name import register_resolvers

    register_resolvers()
    # Hydra's own entry does not accept overrides on both sides of a flag.
    sys.argv[1:] = sorted(arguments, key=lambda text: "=" in text and not text.startswith("-"))
    hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(_job)()


def _collect_garbage() -> None:
    """Look for garbage from here on, but not in what has been loaded, which stays."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def at_home(argument: str) -> str:
    """Return an override with `~`, alone or before a path, as the home folder; Hydra's parser refuses a tilde.

    A text with a brace is a template and no path, unless it is one with a split.
    """
    if "{" in argument.replace("{split}", ""):
        return argument
    key, is_given, value = argument.partition("=")
    # Before a value, or before those of a list.
    before = r"""^["']?|(?<=[\[,])["']?""" if value[:1] not in "\"'" else r"""^["']"""
    home = os.path.expanduser("~")
    return key + is_given + re.sub(rf"({before})~(?=/|[\"']?$)", lambda match: match[1] + home, value)


def at_scale(arguments: list[str]) -> list[str]:
    """Return the arguments with `study=NAME scale=SCALE` as the option it stands for: `study=NAME/SCALE`.

    Raises ConfigError for a scale without a study.
    """
    scales = [text.removeprefix("scale=") for text in arguments if text.startswith("scale=")]
    rest = [text for text in arguments if not text.startswith("scale=")]
    if scales and not any(text.startswith("study=") for text in rest):
        raise ConfigError(f"scale={scales[-1]} belongs to a study; give study=NAME too, or leave it out")
    suffix = f"/{scales[-1]}" if scales and scales[-1] != "laptop" else ""
    return [f"{text}{suffix}" if text.startswith("study=") else text for text in rest]


def _job(cfg: "DictConfig") -> float:
    """Run one job and return its seconds; in a sweep an error is handed to Hydra, which goes on with the other jobs."""
    started = time.monotonic()
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from delt_exp.cli.run_info import run_info
    from delt_exp.cli.show import show_preview, show_run

    hydra_config = HydraConfig.get()
    _end_with_sweep()
    try:
        if cfg.dry_run:
            from delt_exp.dry_run import preview

            _collect_garbage()
            show_preview(preview(cfg))
        else:
            from delt_exp.pipeline import run

            _collect_garbage()
            show_run(run(cfg, run_info(cfg, hydra_config)))
    except KeyboardInterrupt:
        _leave_interrupted()
    except DeltError as error:
        if hydra_config.mode == RunMode.MULTIRUN:
            from hydra.errors import HydraException

            from delt_exp.progress import say

            say(f"this run failed, others go on: {error}")  # now, because a sweep of hours tells its failures last
            raise HydraException(str(error)) from error
        fail(error)
    finally:
        with suppress(OSError):  # Hydra makes the folder of a run that then has nothing to put there
            Path(hydra_config.runtime.output_dir).rmdir()
    return time.monotonic() - started


@cache
def _end_with_sweep() -> None:
    """Let a worker of joblib, which would wait for more work for minutes, end with the sweep that started it."""
    import multiprocessing

    process = multiprocessing.current_process()
    if "loky" in type(process).__module__:
        from delt_exp.distributed.processes import end_with_parent

        end_with_parent(process._parent_pid)  # type: ignore[attr-defined]  # which may be gone by now
