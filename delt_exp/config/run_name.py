"""Names for runs: readable, and the same for the same science, so that a repeated command finds its folder."""

import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from delt_exp.config.build import located, plain
from delt_exp.config.file_label import file_label
from delt_exp.errors import ConfigError
from delt_exp.files import digest

# Where results go, how fast they come, who watches, how far it goes today and what it is compared with: no part of what
# a run is.
NOT_SCIENCE = (
    "hydra", "name", "dry_run", "stop_after", "study", "output_dir", "store", "runtime", "logger", "trainer",
    "baseline",
)  # fmt: skip
MAX_NAME_BYTES = 200  # a file name has 255, and 8 digits of a hash and suffixes come after
NAMED_GROUPS = ("train_dataset", "scorer", "selector", "orderer", "model")


def register_resolvers() -> None:
    """Make these known to the configuration.

    `${run_name:}`: the name of the run's folder. `${study_folder:}`: that of the study it belongs to, null outside one.
    `${home:PATH}`: with its tilde expanded. `${file_label:DATASET}`: what a dataset is called after its files.
    `${unless:OTHER,...,VALUE}`: VALUE where every OTHER is null, else null: the default of one of several settings that
    exclude each other. `${layout_for:OBJECTIVE}`: a layout of training that this class of objectives can do.
    """
    OmegaConf.register_new_resolver("file_label", file_label, replace=True)
    OmegaConf.register_new_resolver("unless", _unless, replace=True)
    OmegaConf.register_new_resolver("given", _given, replace=True)
    OmegaConf.register_new_resolver("layout_for", _layout_for, replace=True)
    OmegaConf.register_new_resolver("home", lambda path: str(Path(path).expanduser()), replace=True)
    OmegaConf.register_new_resolver("run_name", lambda _root_: run_name(_root_), replace=True)
    OmegaConf.register_new_resolver("study_folder", lambda _root_: _study_folder(_root_), replace=True)


def _unless(*others_and_value: Any) -> Any:
    *others, value = others_and_value
    return value if all(other is None for other in others) else None


def _given(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _layout_for(objective: str) -> str:
    return "packed" if located(objective).rows_per_sample == 1 else "padded"


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


def group_name(cfg: Any, choices: Mapping[str, Any]) -> str:
    """Return what the runs of a study have in common: its name, in W&B and as a folder.

    One whose arms stand on the command line is named after them as well.
    """
    if cfg.name is not None:
        return str(cfg.name)
    study, arms = str(choices["study"]).replace("/", "-"), plain((cfg.get("study") or {}).get("arms"))
    if arms is None:
        return study
    readable = re.sub(r"[^\w.]+", "-", "-vs-".join(name for name, *_ in arms))[:80].strip("-")
    return f"{study}-{readable}-{digest(arms)[:6]}"


def _study_folder(cfg: Any) -> str | None:
    """Return the folder of the study that a run belongs to, None outside a study."""
    from hydra.core.hydra_config import HydraConfig

    choices: Mapping[str, Any] = {}
    if "hydra" in cfg:
        choices = cfg.hydra.runtime.choices
    elif HydraConfig.initialized():  # the configuration of a run that has begun has no node of Hydra's
        choices = HydraConfig.get().runtime.choices
    if choices.get("study") is None:
        return None
    return f"{cfg.output_dir}/{group_name(cfg, choices)}"


def common_settings(cfg: DictConfig) -> dict[str, Any]:
    """Return what the runs of a sweep have in common, as far as it decides what they are; references as they stand."""
    settings: Any = OmegaConf.to_container(cfg)
    return {key: settings[key] for key in settings if key not in NOT_SCIENCE} | {"precision": cfg.trainer.precision}


@dataclass(frozen=True)
class RunInfo:
    """Who is running: `name` is also the folder's name, `id` a hash of the resolved configuration.

    choices: option chosen in each config group. group: study or sweep the run belongs to, None for a single run.
    arm: its label in each dimension that its study varies, empty outside a study. command: repeats the run.
    """

    name: str
    id: str
    folder: Path
    config: Mapping[str, Any]
    choices: Mapping[str, str]
    group: str | None
    arm: Mapping[str, str]
    command: str = field(default_factory=lambda: shlex.join(["python", *sys.argv]))

    @property
    def title(self) -> str:
        """What tells the run apart from others of its study; its name outside a study."""
        return " · ".join([*self.arm.values(), f"s{self.config['seed']}"]) if self.arm else self.name
