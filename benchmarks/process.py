"""A process of its own for what is measured, so that memory, threads and caches of one do not reach the next."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from typing import ParamSpec, TypeVar

from benchmarks.table import Row

P = ParamSpec("P")
T = TypeVar("T")


def in_new_process(function: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
    """Return what a function gives in a new Python; raises what it raises."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments, **keywords).result()


def measure(name: str, quick: bool) -> list[Row]:
    """Return the rows of the benchmark in module `name`."""
    rows: list[Row] = import_module(f"benchmarks.{name}").measure(quick)
    return rows
