"""Checks a command before Hydra runs it, so that a mistake costs a second and names its cure."""

import difflib
import os
import shlex
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn, cast

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, ValueType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from delt_exp.cli.help import group_names, options
from delt_exp.config.run_name import check_name
from delt_exp.errors import ConfigError, DependencyError, StoreError
from delt_exp.files import disk_errors

# What hydra.main understands; its own parser would answer a misspelt one with status 2 and a page of usage.
FLAGS = (
    "--cfg", "-c", "--multirun", "-m", "--run", "-r", "--resolve", "--package", "-p", "--info", "-i", "--version",
    "--help", "-h", "--hydra-help", "--shell-completion", "-sc", "--config-path", "-cp", "--config-name", "-cn",
    "--config-dir", "-cd", "--experimental-rerun",
)  # fmt: skip
LAUNCHER = "hydra/launcher"
NULLABLE = ("experiment", "study")  # groups of which nothing may be chosen
ENGINES = {"joblib": ("parallel", "joblib"), "submitit": ("slurm", "slurm_nodes", "submitit_local", "submitit_slurm")}


def check_command(conf: Path, arguments: Sequence[str]) -> None:
    """Raise ConfigError, DependencyError or StoreError, naming the nearest right word, if the command cannot run."""
    flags, texts = split_arguments(arguments)
    for flag in flags:
        if flag.startswith("-") and flag.split("=")[0] not in FLAGS:
            raise ConfigError(
                f"there is no option {flag!r}{_nearest(flag, FLAGS)}; python run.py --help shows the usage"
            )
    overrides = [_parsed(text) for text in texts]
    for override in overrides:
        _check_option(conf, override)
    config = _compose(conf, overrides)
    if not {"--cfg", "-c", "--info", "-i", "--hydra-help"} & set(arguments):
        if config.get("study") is None and not {"--multirun", "-m"} & set(flags):
            _refuse_launcher(overrides)
        _check_values(config)
        check_name(config.get("name"))
        _check_output(Path(config.output_dir).expanduser())


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return (flags with their values, overrides), each in the order given."""
    overrides = [text for text in arguments if not text.startswith("-") and ("=" in text or text.startswith("~"))]
    return [text for text in arguments if text not in overrides], overrides


def _parsed(text: str) -> Override:
    """Return an override; raises ConfigError with the quotes that its value needs."""
    parser = OverridesParser.create()
    try:
        return parser.parse_override(text)
    except HydraException as error:
        key, _, value = text.partition("=")
        quoted = value.strip("\"'").replace("\\", "\\\\").replace('"', '\\"')
        cure = f'{key}="{quoted}"'
        try:
            parser.parse_override(cure)
        except HydraException:
            raise ConfigError(f"cannot read the command line: {text!r}: {_first_line(error)}") from error
        raise ConfigError(
            f"cannot read the command line: {text!r}: characters such as spaces, brackets, braces, '=' and letters "
            "beyond ASCII end a value. "
            f"Quote it twice, for the shell and for Hydra: {shlex.quote(cure)}"
        ) from error


def _check_option(conf: Path, override: Override) -> None:
    group = (override.key_or_group or "").split("@")[0]
    if not (conf / group).is_dir() or override.is_delete():
        return
    known = _known(conf, group)
    for value in _values(override):
        if value is None and group not in NULLABLE:
            raise ConfigError(f"{group}=null chooses nothing; options: {', '.join(known)}")
        if group == LAUNCHER:
            _check_engine(str(value))
        if value is not None and str(value) not in known:
            raise ConfigError(
                f"{group} has no option {value!r}{_nearest(str(value), known)}; options: {', '.join(known)}"
            )


def _known(conf: Path, group: str) -> list[str]:
    """Return the options of a group; of Hydra's own groups also those that its plugins bring."""
    if not group.startswith("hydra/"):
        return options(conf, group)
    with initialize_config_dir(str(conf), version_base="1.3"):
        return GlobalHydra.instance().config_loader().get_group_options(group)


def _check_engine(launcher: str) -> None:
    """Raise DependencyError when the package behind a launcher is not installed."""
    for engine, launchers in ENGINES.items():
        if launcher in launchers and find_spec(f"hydra_plugins.hydra_{engine}_launcher") is None:
            raise DependencyError(
                f"{LAUNCHER}={launcher} needs the package hydra-{engine}-launcher, which is not installed; run: "
                'pip install "delt-exp[cluster]"'
            )


def _refuse_launcher(overrides: Sequence[Override]) -> None:
    """Raise ConfigError for a launcher that Hydra would not ask, because there is only one run."""
    for override in overrides:
        if override.key_or_group == LAUNCHER:
            raise ConfigError(f"{override.input_line} starts the runs of a sweep or a study; for one run, add -m")


def _values(override: Override) -> Iterable[Any]:
    if override.value_type is ValueType.GLOB_CHOICE_SWEEP:
        return []
    if override.is_sweep_override():
        return [text.strip("'\"") for text in override.sweep_string_iterator()]
    value = override.value()
    return value if isinstance(value, list) else [value]


def _compose(conf: Path, overrides: Sequence[Override]) -> DictConfig:
    single = [_first_choice(conf, override) for override in overrides]
    with initialize_config_dir(str(conf), version_base="1.3"):
        try:
            return compose("config", single)
        except HydraException as error:
            _explain(conf, [(o.key_or_group or "", text) for o, text in zip(overrides, single, strict=True)])
            raise ConfigError(_first_line(error)) from error


def _explain(conf: Path, overrides: Sequence[tuple[str, str]]) -> None:
    """Raise for the first override that does not compose on top of the chosen options."""
    groups = group_names(conf)
    composing: list[str] = []
    for key, text in sorted(overrides, key=lambda item: item[0].split("@")[0] not in groups):
        try:
            compose("config", [*composing, text])
            composing.append(text)
        except HydraException as error:
            known = [name for name in _keys(compose("config", composing)) if "_target_" not in name]
            _raise_for(key, text, known, groups, error)


def _raise_for(key: str, text: str, known: list[str], groups: list[str], error: HydraException) -> NoReturn:
    if key in known or key.split("@")[0] in groups:
        raise ConfigError(f"{text}: {_first_line(error)}") from error
    raise ConfigError(
        f"there is no key or group {key!r}{_nearest(key, [*groups, *known])}; "
        "python run.py --help lists the groups, python run.py --cfg job the keys"
    ) from error


def _first_choice(conf: Path, override: Override) -> str:
    if not override.is_sweep_override():
        return str(override.input_line)
    if override.value_type is ValueType.GLOB_CHOICE_SWEEP:
        found = cast(Glob, override.value()).filter(options(conf, override.key_or_group or ""))
        if not found:
            raise ConfigError(f"{override.input_line} matches no option of {override.key_or_group}")
        return f"{override.key_or_group}={found[0]}"
    return f"{(override.input_line or '').split('=')[0]}={next(iter(override.sweep_string_iterator()))}"


def _check_values(config: DictConfig) -> None:
    missing = sorted(missing_keys(OmegaConf.to_container(config)))
    if missing:
        raise ConfigError(f"a value is missing: {', '.join(missing)}; give it as {missing[0]}=VALUE")
    try:
        OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(_first_line(error)) from error


def missing_keys(settings: Any, place: str = "") -> list[str]:
    """Return the keys of unresolved settings that must be given; OmegaConf's own function raises where one is used."""
    if isinstance(settings, dict):
        return [name for key, item in settings.items() for name in missing_keys(item, f"{place}.{key}".lstrip("."))]
    if isinstance(settings, list):
        return [name for index, item in enumerate(settings) for name in missing_keys(item, f"{place}[{index}]")]
    return [place] if settings == "???" else []


def _check_output(folder: Path) -> None:
    with disk_errors(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, FileNotFoundError) as error:
            raise StoreError(f"output_dir {folder} cannot be made a folder; give another: output_dir=FOLDER") from error
        if not os.access(folder, os.W_OK):
            raise StoreError(f"output_dir {folder} is not writable; give another folder: output_dir=FOLDER")


def _keys(config: DictConfig, prefix: str = "") -> list[str]:
    keys = []
    for key in config:
        node = config._get_node(key)
        name = f"{prefix}{key!s}"
        keys.append(name)
        if isinstance(node, DictConfig):
            keys += _keys(node, f"{name}.")
    return keys


def _nearest(word: str, known: Sequence[str]) -> str:
    found = difflib.get_close_matches(word, known, 1, 0.5)
    by_last = {key.rsplit(".")[-1]: key for key in reversed(known)}
    found = found or [by_last[m] for m in difflib.get_close_matches(word.rsplit(".")[-1], list(by_last), 1, 0.6)]
    return f", did you mean {found[0]!r}?" if found else ""


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
