"""Names for runs: readable, and the same for the same science, so that a repeated command finds its folder."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from delt_exp.config import plain
from delt_exp.errors import ConfigError
from delt_exp.files import digest, read_json
from delt_exp.logger.base import RunInfo
from delt_exp.study.record import FILE, read_study

# Where results go, how fast they come and who watches: no part of what a run is.
NOT_SCIENCE = ("hydra", "name", "dry_run", "study", "output_dir", "store", "runtime", "logger", "trainer")
MAX_NAME_BYTES = 200  # a file name has 255, and 8 digits of a hash and suffixes come after
NAMED_GROUPS = ("train_dataset", "scorer", "selector", "orderer", "model")


def register_resolvers() -> None:
    """Make `${run_name:}`, and `${home:PATH}` with its tilde expanded, available to the configuration."""
    OmegaConf.register_new_resolver("home", lambda path: str(Path(path).expanduser()), replace=True)
    OmegaConf.register_new_resolver("run_name", lambda _root_: run_name(_root_), replace=True)


def check_name(name: Any) -> None:
    """Raise ConfigError unless `name` is null or can name a folder inside another one."""
    text = "" if name is None else str(name)
    allowed = text not in (".", "..") and "${" not in text and not any(c in "/\\\0" or ord(c) < 32 for c in text)
    if name is not None and not (text.strip() and allowed and len(text.encode()) <= MAX_NAME_BYTES):
        raise ConfigError(
            f"name={text[:80]!r}{' ...' if len(text) > 80 else ''} cannot name a folder in output_dir; give 1 to "
            f"{MAX_NAME_BYTES} bytes without '/' and '${{', or name=null for a name made of what was chosen"
        )


def run_id(cfg: Any) -> str:
    """Return 16 hex digits that name the science of a configuration."""
    science = {key: plain(cfg[key]) for key in cfg if key not in NOT_SCIENCE}
    return digest({**science, "precision": cfg.trainer.precision})


def run_name(cfg: Any) -> str:
    """Return `<name>-<8 hex digits>`, where the name says what was chosen unless the user gave one."""
    choices = cfg.hydra.runtime.choices
    chosen = "-".join([*(str(choices[group]).replace("/", "-") for group in NAMED_GROUPS), f"s{cfg.seed}"])
    readable = chosen if cfg.name is None else str(cfg.name)
    return f"{readable}-{run_id(cfg)[:8]}"


def group_name(name: str | None, choices: Mapping[str, Any]) -> str:
    """Return what the runs of a study have in common: its name, in W&B and as a folder."""
    return str(choices["study"]).replace("/", "-") if name is None else str(name)


def common_settings(cfg: DictConfig) -> dict[str, Any]:
    """Return what the runs of a sweep have in common, as far as it decides what they are; references as they stand."""
    settings: Any = OmegaConf.to_container(cfg)
    return {key: settings[key] for key in settings if key not in NOT_SCIENCE} | {"precision": cfg.trainer.precision}


def run_info(cfg: DictConfig, hydra_config: Any) -> RunInfo:
    """Return who is running, for loggers and the record."""
    folder = Path(hydra_config.runtime.output_dir)
    choices = {str(k): str(v) for k, v in hydra_config.runtime.choices.items() if not str(k).startswith("hydra/")}
    group, arm = None, {}
    if hydra_config.mode.name == "MULTIRUN" and cfg.get("study"):
        group = group_name(cfg.name, hydra_config.runtime.choices)
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
    arms = [run.arm for run in study.runs if os.path.abspath(run.folder) == os.path.abspath(folder)]
    return arms[0] if arms else {}
