"""Keeps lm-evaluation-harness from changing the process around it: output, random numbers, environment."""

import logging
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import datasets
import lm_eval.api.task as task_module
import numpy as np
import torch

SEED = 1234  # of few-shot examples, shuffled choices and answers that are drawn; the harness's own default


@contextmanager
def silenced() -> Iterator[None]:
    """Silence the harness's log, and progress bars beside the program's own."""
    loggers = [logging.getLogger(name) for name in ("lm_eval", "datasets", "transformers")]
    levels, bar = [logger.level for logger in loggers], task_module.tqdm
    bars_hidden = datasets.are_progress_bars_disabled()
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        task_module.tqdm = lambda examples, **_: examples
        datasets.disable_progress_bars()
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        task_module.tqdm = bar
        if not bars_hidden:
            datasets.enable_progress_bars()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Some tasks draw from the global generators: give them a fixed start, and put back what was there."""
    python, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global state is the point
    with torch.random.fork_rng():
        try:
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            torch.manual_seed(seed)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy_state)  # noqa: NPY002


@contextmanager
def code_execution(allowed: bool) -> Iterator[None]:
    """Tell the metric of the code tasks that its user agrees to run generated code."""
    key, before = "HF_ALLOW_CODE_EVAL", os.environ.get("HF_ALLOW_CODE_EVAL")
    if allowed:
        os.environ[key] = "1"
    try:
        yield
    finally:
        os.environ.pop(key, None)
        if before is not None:
            os.environ[key] = before
