"""How long a user waits before anything is computed: quick answers, a run that is there already, a study's runs."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from benchmarks.table import Row, alternate, median_ratio
from delt_exp.config.build import CONF, build
from delt_exp.config.compose import composed
from delt_exp.study.definition import at_seed


def measure(quick: bool) -> list[Row]:
    """Return wall seconds of real commands, the median of several, and those of composing a study in this process."""
    repeats = 1 if quick else 7
    return [*_commands(repeats), *_study("stability" if quick else "delt_ablation", 3 if quick else 185)]


def _commands(repeats: int) -> list[Row]:
    with TemporaryDirectory() as folder:
        run = ("experiment=smoke", f"output_dir={folder}")
        for _ in range(2):
            _seconds(*run)
        sides = {"--help": (("--help",), 0.7), "--cfg job": (("--cfg", "job"), 0.7), "a run that is there": (run, 0.8)}
        measured = alternate(repeats, *(partial(_seconds, *words) for words, _ in sides.values()))
    return [
        Row(f"start: {name}", "nothing", statistics.median(seconds), "s", "wall time of `python run.py`", below=aim)
        for (name, (_, aim)), seconds in zip(sides.items(), measured, strict=True)
    ]


def _seconds(*words: str) -> float:
    started = time.perf_counter()
    command = [sys.executable, "run.py", *words]
    subprocess.run(command, check=True, cwd=Path(CONF).parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def _study(name: str, count: int) -> list[Row]:
    """Compose the runs of a study from memory and by Hydra alone, in turns, and compare every pair."""
    study = build(composed(CONF, [f"study={name}"]).study, "study")
    runs = [[f"study={name}", *at_seed(study.common, job.seed), *job.overrides] for job in study.jobs()][:count]
    ours: list[float] = []
    theirs: list[float] = []
    for overrides in runs:
        pair = [_composing(function, overrides) for function in (composed, _by_hydra)]
        if pair[0][1] != pair[1][1]:
            raise AssertionError(f"{overrides} is not composed as Hydra does")
        ours.append(pair[0][0])
        theirs.append(pair[1][0])
    how = f"the {len(runs)} runs of study={name}: {sum(ours):.1f} s, by Hydra alone {sum(theirs):.1f} s; all are equal"
    return [
        Row("composing a study", "nothing", sum(ours), "s", how, below=20.0),
        Row("composing a run of it", "Hydra", median_ratio(ours, theirs), "x", how),
    ]


def _composing(function: Callable[[Path, list[str]], DictConfig], overrides: list[str]) -> tuple[float, DictConfig]:
    started = time.perf_counter()
    config = function(CONF, overrides)
    return time.perf_counter() - started, config


def _by_hydra(conf: Path, overrides: list[str]) -> DictConfig:
    with initialize_config_dir(str(conf), version_base="1.3"):
        return compose("config", overrides)
