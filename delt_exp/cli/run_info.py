"""Who is running, as far as the command line says: folder, choices, and the place in a study or sweep."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from delt_exp.config.build import plain
from delt_exp.config.run_name import RunInfo, group_name, run_id
from delt_exp.files import read_json
from delt_exp.study.record import FILE, read_study


def run_info(cfg: DictConfig, hydra_config: Any) -> RunInfo:
    """Return who is running, for loggers and the record."""
    folder = Path(hydra_config.runtime.output_dir)
    choices = {str(k): str(v) for k, v in hydra_config.runtime.choices.items() if not str(k).startswith("hydra/")}
    group, arm = None, {}
    if hydra_config.mode.name == "MULTIRUN" and cfg.get("study"):
        group = group_name(cfg, hydra_config.runtime.choices)
        arm = _arm(Path(cfg.output_dir).expanduser() / group, folder)
    elif hydra_config.mode.name == "MULTIRUN":
        group = hydra_config.job.name
        arm = _sweep_arm(sweep_file(cfg, group), hydra_config.overrides.task)
    return RunInfo(folder.name, run_id(cfg), folder, plain(cfg), choices, group, arm)


def sweep_file(cfg: Any, name: str) -> Path:
    """Return the file that says what a sweep without a study varies."""
    return Path(cfg.output_dir).expanduser() / "sweeps" / name / "sweep.json"


def _sweep_arm(file: Path, overrides: Sequence[str]) -> dict[str, str]:
    """Return what a sweep varies, with the values that a run with these overrides has."""
    if not file.exists():
        return {}
    values = dict(text.split("=", 1) for text in overrides if "=" in text)
    return {key.lstrip("+"): values[key] for key in read_json(file)["varied"] if key in values}


def _arm(study_folder: Path, folder: Path) -> dict[str, str]:
    """Return the labels of a run in its study; none for the run that the others start from, which is not listed."""
    if not (study_folder / FILE).exists():
        return {}
    study, _ = read_study(study_folder)
    own = os.path.abspath(folder)
    return next((run.arm for run in study.runs if os.path.abspath(run.folder) == own), {})
