"""How every command line tells an error: one message, status 1."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from delt_exp.errors import DeltError


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
