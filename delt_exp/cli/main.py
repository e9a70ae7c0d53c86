"""The command line: Hydra, with help that lists every option and errors that name the nearest right word.

Nothing here imports torch, Lightning or transformers: `--help` and `--cfg job` answer at once.
"""

import os
import re
import signal
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from delt_exp.config.build import CONF
from delt_exp.errors import ConfigError, DeltError

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from rich.table import Table

    from delt_exp.model.cost import PhaseCost


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
    try:
        arguments = at_scale([at_home(text) for text in sys.argv[1:]])
    except ConfigError as error:
        fail(error)
    if {"--help", "-h"} & set(arguments):
        from delt_exp.cli.help import help_text

        print(help_text(CONF))
        return
    import hydra

    from delt_exp.cli.check import check_command, split_arguments
    from delt_exp.config.run_name import register_resolvers

    register_resolvers()
    try:
        check_command(CONF, arguments)
    except DeltError as error:
        fail(error)
    flags, overrides = split_arguments(arguments)
    sys.argv[1:] = [*flags, *overrides]  # Hydra's parser does not accept overrides on both sides of a flag
    hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(_job)()


def at_home(argument: str) -> str:
    """Return an override with `~`, alone or before a path, as the home folder; Hydra's parser refuses a tilde.

    A text with a brace is a template and no path, unless it is one with a split.
    """
    if "{" in argument.replace("{split}", ""):
        return argument
    key, is_given, value = argument.partition("=")
    before = (
        r"""^["']?|(?<=[\[,])["']?""" if value[:1] not in "\"'" else r"""^["']"""
    )  # of a value, or of those of a list
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

    hydra_config = HydraConfig.get()
    _end_with_sweep()
    try:
        if cfg.dry_run:
            from delt_exp.dry_run import forecast

            _show_forecast(forecast(cfg))
        else:
            from delt_exp.pipeline import run

            _show(run(cfg, run_info(cfg, hydra_config)))
    except KeyboardInterrupt:
        _leave_interrupted()
    except DeltError as error:
        if hydra_config.mode == RunMode.MULTIRUN:
            from hydra.errors import HydraException

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


def fail(error: DeltError) -> NoReturn:
    """Show one message and leave with status 1; HYDRA_FULL_ERROR=1 shows where it came from."""
    if os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0"):
        raise error
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(1)


def _show(folder: Path) -> None:
    """Print the results of a finished run and where its page is."""
    from delt_exp.files import read_json
    from delt_exp.progress import console

    record: dict[str, Any] = read_json(folder / "record.json")
    if record["results"]:
        console.print(_results_table(record))
    stages, latest = record["stages"], (record["found_by"] or [record])[-1]
    reused = len(stages) - len(latest["computed"]) if record["found_by"] else sum(stage["cached"] for stage in stages)
    verdict = "verified" if record["order_verified"] else "NOT VERIFIED"
    console.print(f"{len(stages)} stages, {reused} of them found; order {verdict}; {latest['seconds']:.0f} s")
    console.print(f"report: {folder / 'report.html'}", markup=False)


def _show_forecast(costs: "list[PhaseCost]") -> None:
    """Print what each phase will cost."""
    from rich.table import Table

    from delt_exp.model.cost import total
    from delt_exp.progress import console

    table = Table("phase", title="What this would cost, if nothing of it is in the store", title_justify="left")
    for name in ("passes", "FLOPs", "memory"):
        table.add_column(name, justify="right")
    for cost in [*costs, total(costs)]:
        table.add_row(cost.phase, f"{cost.passes:,}", f"{cost.flops:.2g}", f"{cost.peak_bytes / 1e9:.2f} GB")
    console.print(table)
    console.print("estimated from sizes; memory without that of Python and its libraries, about 0.5 GB a process;")
    console.print("what a selector keeps is counted with stand-in scores")


def _results_table(record: dict[str, Any]) -> "Table":
    """One row a dataset, one column a metric, each value with its standard error."""
    from rich.table import Table

    cells: dict[str, dict[str, str]] = {}
    for row in record["results"]:
        error = "" if row["stderr"] is None else f" ± {row['stderr']:.2g}"
        cells.setdefault(row["dataset"], {})[row["metric"]] = f"{row['value']:.4g}{error}"
    metrics = list(dict.fromkeys(metric for values in cells.values() for metric in values))
    table = Table("dataset", *metrics, title=record["name"], title_justify="left")
    for dataset, values in cells.items():
        table.add_row(dataset, *(values.get(metric, "") for metric in metrics))
    return table
