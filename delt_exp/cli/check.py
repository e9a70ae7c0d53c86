"""Checks a command before anything runs, so that a mistake costs a second and names its cure."""

import argparse
import os
import shlex
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from delt_exp.cli.advice import unknown_flag, unknown_key, without_place
from delt_exp.cli.help import group_names, options
from delt_exp.cli.nearest import unknown_option
from delt_exp.cli.overrides import first_line, group_of, parsed, values_of
from delt_exp.config.build import refers_to_nothing
from delt_exp.config.compose import hydra_at
from delt_exp.config.identity import flat
from delt_exp.config.run_name import check_name
from delt_exp.errors import ConfigError, DependencyError, StoreError
from delt_exp.files import disk_errors

LAUNCHER = "hydra/launcher"
NULLABLE = ("experiment", "study")  # groups of which nothing may be chosen
# What only Hydra answers, from other folders too, so that nothing is known about their keys.
RARE = (
    "hydra_help", "info", "shell_completion", "experimental_rerun", "config_path", "config_name", "config_dir",
)  # fmt: skip
# A command takes one of these.
ALTERNATIVES = ("run", "multirun", "cfg", "info", "shell_completion")


def check_command(conf: Path, arguments: Sequence[str]) -> argparse.Namespace:
    """Return flags and overrides; `multirun` is true for a study, `is_rare` for what `hydra.main` is to answer itself.

    Raises ConfigError, DependencyError or StoreError, naming the nearest right word, if the command cannot run.
    """
    args = _flags(conf, arguments)
    if args.is_rare:
        return args
    overrides = [parsed(conf, text) for text in args.overrides]
    with hydra_at(conf) as hydra:
        for override in overrides:
            _check_option(conf, override, hydra)
        mode = ["hydra.mode=MULTIRUN"] * args.multirun
        first = [*(_first_choice(conf, override) for override in overrides), *mode]
        config = _compose(conf, hydra, first)
        _check_arms(conf, hydra, first, (config.get("study") or {}).get("arms", []))
    args.overrides += mode
    with open_dict(config):
        args.multirun = config.pop("hydra").mode == RunMode.MULTIRUN
    if args.cfg is None:
        _check_sweeps(overrides, is_multirun=args.multirun, is_study=config.get("study") is not None)
        if not args.multirun:
            _refuse_launcher(overrides)
        _check_values(config)
        check_name(config.name)
        _check_output(Path(config.output_dir).expanduser())
    return args


def _flags(conf: Path, arguments: Sequence[str]) -> argparse.Namespace:
    """Return what Hydra's own parser makes of a command; it would answer a misspelt flag with a page of usage."""
    parser = get_args_parser()
    parser.exit_on_error = False
    flags = [flag for action in parser._actions for flag in action.option_strings]
    for word in arguments:
        if word.startswith("-") and word.split("=")[0] not in flags:
            raise ConfigError(unknown_flag(conf, word, flags))
    try:
        args = parser.parse_intermixed_args(arguments)
    except argparse.ArgumentError as error:
        raise ConfigError(str(error)) from error
    given = [name for name in ALTERNATIVES if getattr(args, name)]
    if len(given) > 1:
        both = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ConfigError(f"{both} answer different questions; give one of them")
    args.is_rare = any(getattr(args, name) for name in RARE)
    return args


def _check_option(conf: Path, override: Override, hydra: Hydra) -> None:
    """Raise for an option that its group does not have, and for one of a sweep."""
    group = group_of(override)
    if not (conf / group).is_dir() or override.is_delete():
        return
    is_hydras = group.startswith("hydra/")  # to which plugins bring options
    known = hydra.config_loader.get_group_options(group) if is_hydras else options(conf, group)
    for value in values_of(override, known):
        if value is None and group not in NULLABLE:
            raise ConfigError(f"{group}=null chooses nothing; options: {', '.join(known)}")
        if group == LAUNCHER:
            _check_engine(conf, str(value))
        if value is not None and str(value) not in known:
            raise ConfigError(unknown_option(group, str(value), known))


def _check_engine(conf: Path, launcher: str) -> None:
    """Raise DependencyError when a launcher's package or its plugin for Hydra, which is called after it, is missing."""
    bases = {file.stem: _base(conf, file.stem) for file in (conf / LAUNCHER).glob("*.yaml")}
    engine = bases.get(launcher, launcher).partition("_")[0]
    ours = {base.partition("_")[0] for base in bases.values()}
    packages = {f"hydra_plugins.hydra_{engine}_launcher": f"hydra-{engine}-launcher", engine: engine}
    missing = [package for module, package in packages.items() if engine in ours and find_spec(module) is None]
    if missing:
        raise DependencyError(
            f"{LAUNCHER}={launcher} needs the package {missing[0]}, which is not installed; run: "
            'pip install "delt-exp[cluster]"'
        )


def _base(conf: Path, launcher: str) -> str:
    """Return the launcher of Hydra that the `defaults` of an option lead to: joblib, submitit_slurm."""
    while (file := conf / LAUNCHER / f"{launcher}.yaml").is_file():
        launcher = next(name for name in yaml.safe_load(file.read_text())["defaults"] if name != "_self_")
    return launcher


def _check_sweeps(overrides: Sequence[Override], *, is_multirun: bool, is_study: bool) -> None:
    """Raise ConfigError for several values where one run, or a study, takes one."""
    sweep = next((override.input_line for override in overrides if override.is_sweep_override()), None)
    if sweep is not None and is_study:
        raise ConfigError(f"{sweep} gives several values, but all runs of a study share one; vary it in arms or slices")
    if sweep is not None and not is_multirun:
        key, _, value = str(sweep).partition("=")
        quoted = shlex.quote(f'{key}="{value}"')
        raise ConfigError(
            f"{sweep} gives several values, but a single run takes one; to run each, add -m. One value with a comma "
            f"in it needs quotes twice, for the shell and for Hydra: {quoted}"
        )


def _refuse_launcher(overrides: Sequence[Override]) -> None:
    """Raise ConfigError for a launcher that Hydra would not ask, because there is only one run."""
    for override in overrides:
        if override.key_or_group == LAUNCHER:
            raise ConfigError(
                f"{override.input_line} says how the runs of a sweep or a study start; leave it out "
                "for a single run, or add -m"
            )


def _compose(conf: Path, hydra: Hydra, overrides: list[str]) -> DictConfig:
    """Return the configuration of overrides without a sweep, with Hydra's own part."""
    try:
        return hydra.compose_config("config", overrides, RunMode.RUN)
    except HydraException as error:
        _explain(conf, hydra, overrides)
        raise ConfigError(first_line(error)) from error


def _check_arms(conf: Path, hydra: Hydra, command: list[str], arms: Sequence[Sequence[str]]) -> None:
    """Raise ConfigError for an arm of a study that does not compose."""
    for name, *texts in arms:
        try:
            for override in map(partial(parsed, conf), texts):
                if override.is_sweep_override():
                    raise ConfigError(f"{override.input_line} gives several values; make each a separate arm")
                _check_option(conf, override, hydra)
            _compose(conf, hydra, [*command, *texts])
        except ConfigError as error:
            is_key = str(error).startswith("there is no key")
            cure = "; a key that not all arms have belongs in the brackets of those that do" if is_key else ""
            raise ConfigError(f"arm {name}: {error}{cure}") from error


def _explain(conf: Path, hydra: Hydra, overrides: Sequence[str]) -> None:
    """Raise for the first override that does not compose on top of the chosen options."""
    groups = group_names(conf)
    composing: list[str] = []
    for override in sorted(
        map(partial(parsed, conf), overrides), key=lambda override: group_of(override) not in groups
    ):
        text, key = str(override.input_line), str(override.key_or_group)
        try:
            hydra.compose_config("config", [*composing, text], RunMode.RUN)
        except HydraException as error:
            config = hydra.compose_config("config", composing, RunMode.RUN)
            names = flat(OmegaConf.to_container(config))
            known = [name for name in names if "_target_" not in name and not name.startswith("hydra.")]
            if group_of(override) in groups or any(f"{name}.".startswith(f"{key}.") for name in known):
                cured = without_place(first_line(error), list(config.hydra.runtime.choices))
                raise ConfigError(f"{text}: {cured}") from error
            raise ConfigError(unknown_key(conf, key, [*groups, *known])) from error
        composing.append(text)


def _first_choice(conf: Path, override: Override) -> str:
    """Return an override that takes the first value of a sweep."""
    if not override.is_sweep_override():
        return str(override.input_line)
    key, group = (override.input_line or "").split("=")[0], group_of(override)
    if override.value_type is not ValueType.GLOB_CHOICE_SWEEP:
        return f"{key}={next(iter(override.sweep_string_iterator()))}"
    matching = values_of(override, options(conf, group))
    if not matching:
        raise ConfigError(f"{override.input_line} matches no option of {group}")
    return f"{key}={matching[0]}"


def _check_values(config: DictConfig) -> None:
    missing = sorted(missing_keys(OmegaConf.to_container(config)))
    if missing:
        raise ConfigError(f"a value is missing: {', '.join(missing)}; give it as {missing[0]}=VALUE")
    try:
        OmegaConf.to_container(config, resolve=True)
    except InterpolationKeyError as error:
        raise refers_to_nothing(error) from error
    except OmegaConfBaseException as error:
        raise ConfigError(first_line(error)) from error


def missing_keys(settings: Any) -> list[str]:
    """Return the keys of unresolved settings that must be given; OmegaConf's own function raises where one is used."""
    return [name for name, value in flat(settings).items() if value == "???"]


def _check_output(folder: Path) -> None:
    with disk_errors(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, FileNotFoundError) as error:
            raise StoreError(
                f"output_dir {folder} cannot be created as a folder; give another: output_dir=FOLDER"
            ) from error
        if not os.access(folder, os.W_OK):
            raise StoreError(f"output_dir {folder} is not writable; give another folder: output_dir=FOLDER")
