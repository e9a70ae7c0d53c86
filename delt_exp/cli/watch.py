"""`python -m delt_exp.watch`: what the runs of an output folder are doing, as a live table.

Of each run: its phase, the piece of work at hand, the time it has taken and the time left, which is known as soon as
one run of the same study or sweep, or one with the same scorer, model and data, is finished: the training run at hand
goes on at its own speed, later phases take as long as there. A run that was killed is `stopped`; its command, repeated,
continues it. Ctrl-C ends the table and no run.
"""

import argparse
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from delt_exp.cli.reporting import parser_of, reporting
from delt_exp.errors import ConfigError
from delt_exp.watch.runs import read_runs
from delt_exp.watch.table import table


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = parser_of("watch", __doc__)
    parser.add_argument(
        "output_dir", type=Path, nargs="?", default=Path("outputs"), help="output folder of the runs (%(default)s)"
    )
    parser.add_argument(
        "--once", action="store_true", help="print the table once and leave; the default when output is not a terminal"
    )
    parser.add_argument(
        "--every", type=float, default=2.0, metavar="SECONDS", help="seconds between two looks (%(default)s)"
    )
    parser.add_argument("--rows", type=int, metavar="COUNT", help="runs shown at most (what fits on the screen)")
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    with reporting():
        if options.every <= 0:
            raise ConfigError(f"--every {options.every:g}: give a number of seconds above 0")
        _show(console, options)


def _show(console: Console, options: argparse.Namespace) -> None:
    if options.once or not console.is_terminal:
        rows = 1_000_000 if options.rows is None else options.rows
        console.print(_now(options.output_dir, rows))
        return
    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            rows = max(console.height - 8, 5) if options.rows is None else options.rows
            live.update(_now(options.output_dir, rows), refresh=True)
            time.sleep(options.every)


def _now(output_dir: Path, num_rows: int) -> RenderableType:
    runs = read_runs(output_dir)
    return table(runs, num_rows) if runs else Text(f"{output_dir} has no runs yet; give the output_dir of the runs")
