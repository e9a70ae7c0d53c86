"""How every command line shows its usage, and tells an error: one message, status 1."""

import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from delt_exp.errors import ConfigError, DeltError
from delt_exp.runtime import quiet


def parser_of(name: str, usage: str | None) -> ArgumentParser:
    """Return the parser of `python -m delt_exp.NAME`; usage: the docstring of its module, shown as it is written."""
    return ArgumentParser(
        prog=f"python -m delt_exp.{name}", description=usage, formatter_class=RawDescriptionHelpFormatter
    )


def with_output(parser: ArgumentParser, name: str, meaning: str) -> ArgumentParser:
    """Return the parser with `--alpha`, which means what it says, and `--out`, the folder of pages and tables."""
    parser.add_argument("--alpha", type=float, default=0.05, help=f"{meaning} (%(default)s)")
    place = Path("outputs") / name
    parser.add_argument("--out", type=Path, default=place, help="where page and tables go (%(default)s)")
    return parser


def check_alpha(alpha: float) -> None:
    """Raise ConfigError for a level that is none."""
    if not 0 < alpha < 1:
        raise ConfigError(f"--alpha is {alpha:g}; it must lie between 0 and 1")


def run_with_overrides(usage: str | None, run: Callable[[Sequence[str]], str]) -> None:
    """Print what `run` makes of the command line, names and KEY=VALUE, or `usage`: asked for, or without arguments."""
    arguments = sys.argv[1:]
    if {"--help", "-h"} & set(arguments) or not arguments:
        print(usage)
        raise SystemExit(0 if arguments else 1)
    quiet()
    with reporting():
        print(run(arguments))


def names_in(arguments: Sequence[str], least: int, wanted: str, name: str) -> tuple[list[str], list[str]]:
    """Return the names and the overrides among arguments; raises ConfigError for an option, and for too few names."""
    names = [text for text in arguments if "=" not in text or Path(text).exists()]
    overrides = [text for text in arguments if text not in names]
    flags = [text for text in names if text.startswith("-")]
    if flags or len(names) < least:
        wrong = f"there is no option {flags[0]!r}" if flags else f"give {wanted}"
        raise ConfigError(f"{wrong}; python -m delt_exp.{name} --help shows the usage")
    return names, overrides


@contextmanager
def reporting() -> Iterator[None]:
    """Show a DeltError of the block as one message and leave with status 1."""
    try:
        yield
    except DeltError as error:
        fail(error)


def fail(error: DeltError) -> NoReturn:
    """Show one message and leave with status 1; HYDRA_FULL_ERROR=1 shows where it came from."""
    if os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0"):
        raise error
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(1)
