"""Names for runs: readable, and the same for the same science, so that a repeated command finds its folder."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from delt_exp.config import plain
from delt_exp.files import digest
from delt_exp.logger.base import RunInfo
from delt_exp.study.record import FILE, read_study

# Where results go, how fast they come and who watches: no part of what a run is.
NOT_SCIENCE = ("hydra", "name", "dry_run", "study", "output_dir", "store", "runtime", "logger", "trainer")
NAMED_GROUPS = ("train_dataset", "scorer", "selector", "orderer", "model")


def register_resolvers() -> None:
    """Make `${run_name:}` available to the configuration."""
    OmegaConf.register_new_resolver("run_name", lambda _root_: run_name(_root_), replace=True)


def run_id(cfg: Any) -> str:
    """Return 16 hex digits that name the science of a configuration."""
    science = {key: plain(cfg[key]) for key in cfg if key not in NOT_SCIENCE}
    return digest({**science, "precision": cfg.trainer.precision})


def run_name(cfg: Any) -> str:
    """Return `<name>-<8 hex digits>`, where the name says what was chosen unless the user gave one."""
    choices = cfg.hydra.runtime.choices
    readable = cfg.name or "-".join([*(str(choices[group]) for group in NAMED_GROUPS), f"s{cfg.seed}"])
    return f"{readable}-{run_id(cfg)[:8]}"


def group_name(name: str | None, choices: Mapping[str, Any]) -> str:
    """Return what the runs of a sweep have in common: the name of its study, in W&B and as a folder."""
    return name or str(choices.get("study") or "sweep").replace("/", "-")


def common_settings(cfg: DictConfig) -> dict[str, Any]:
    """Return what the runs of a sweep have in common, as far as it decides what they are; references as they stand."""
    settings: Any = OmegaConf.to_container(cfg)
    return {key: settings[key] for key in settings if key not in NOT_SCIENCE} | {"precision": cfg.trainer.precision}


def run_info(cfg: DictConfig, hydra_config: Any) -> RunInfo:
    """Return who is running, for loggers and the record."""
    folder = Path(hydra_config.runtime.output_dir)
    choices = {str(k): str(v) for k, v in hydra_config.runtime.choices.items() if not str(k).startswith("hydra/")}
    group = group_name(cfg.name, hydra_config.runtime.choices) if hydra_config.mode.name == "MULTIRUN" else None
    arm = _arm(Path(cfg.output_dir) / group, folder) if group and cfg.get("study") else {}
    return RunInfo(folder.name, run_id(cfg), folder, plain(cfg), choices, group, arm)


def _arm(study_folder: Path, folder: Path) -> dict[str, str]:
    """Return the labels of a run in its study; none for the run that the others start from, which is not listed."""
    if not (study_folder / FILE).exists():
        return {}
    study, _ = read_study(study_folder)
    arms = [run.arm for run in study.runs if os.path.abspath(run.folder) == os.path.abspath(folder)]
    return arms[0] if arms else {}
