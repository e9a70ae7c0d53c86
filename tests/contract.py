"""What contract tests need of any method: its configuration with small numbers, and what its own test file gives."""

import importlib
import os
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from delt_exp.cli.help import NO_METHODS, group_names, options
from delt_exp.config.build import CONF
from delt_exp.config.compose import composed

DATA = Path(os.environ.get("DELT_DATA_DIR", CONF.parents[1] / "shared" / "data"))
# What makes a component quick, wherever a key of this name occurs.
SMALL: dict[str, Any] = {
    "batch_documents": 4, "epochs": 1, "hidden_size": 16, "intermediate_size": 32, "interval": 1, "k": 7,
    "max_bytes": 20_000, "num_batches": 2, "num_hidden_layers": 2, "num_steps": 2, "train_tokens": 4096,
    "vocab_size": 300,
}  # fmt: skip


def methods() -> list[tuple[str, str]]:
    """Return group and option of every method in conf/."""
    groups = [group for group in group_names(CONF) if group not in NO_METHODS]
    return [(group, option) for group in groups for option in options(CONF, group) if option != "none"]


def configured(group: str, option: str, folder: Path, *overrides: str) -> DictConfig:
    """Return the whole configuration with this option of a group, made small, its open values given.

    What cannot be guessed, such as a file that the method reads, comes from `contract_overrides(folder)` in the test
    file of its module: tests/scorer/test_kenlm.py for delt_exp/scorer/kenlm.py.
    """
    given = [*own(group, option, "contract_overrides", lambda folder: [])(folder), *overrides]
    config = composed(CONF, [f"{group}={option}", f"data_dir={DATA}", *given])
    if "${data_dir}" in OmegaConf.to_yaml(config[group]) and not DATA.is_dir():
        pytest.skip(f"the local data folder {DATA} is not there")
    shrink(config, {text.partition("=")[0] for text in given})
    missing = [f"{group}.{key}" for key in sorted(OmegaConf.missing_keys(config[group]))]
    assert not missing, f"{file_of_tests(group, option)} needs contract_overrides(folder) for {', '.join(missing)}"
    return config


def shrink(node: DictConfig, given: set[str], place: str = "") -> None:
    """Make numbers small at any depth, but for the keys that are given."""
    for key in node:
        name = f"{place}{key}"
        if OmegaConf.is_interpolation(node, key) or OmegaConf.is_missing(node, key):
            continue
        if isinstance(node[key], DictConfig):
            shrink(node[key], given, f"{name}.")
        elif key in SMALL and node[key] is not None and name not in given:
            node[key] = SMALL[key]


def own(group: str, option: str, name: str, default: Any) -> Any:
    """Return what the test file of the option's module says about contract tests under this name."""
    path = file_of_tests(group, option)
    if not path.exists():
        return default
    module = importlib.import_module(".".join(path.relative_to(CONF.parent).with_suffix("").parts))
    return getattr(module, name, default)


def file_of_tests(group: str, option: str) -> Path:
    """Return the test file of the module that an option names: tests/scorer/test_x.py for delt_exp/scorer/x.py."""
    parts = target(group, option).split(".")[1:-1]
    return CONF.parent.joinpath("tests", *parts[:-1], f"test_{parts[-1]}.py")


def target(group: str, option: str) -> str:
    """Return the dotted name in `_target_`, that of the continued option of the same group where a file has none."""
    found = first_target(settings_of(group, option))
    assert found, f"conf/{group}/{option}.yaml names no class"
    return found


def settings_of(group: str, option: str, *, continued: bool = True) -> dict[str, Any]:
    """Return the settings of an option, with those of the options that it continues unless told otherwise."""
    settings: dict[str, Any] = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{option}.yaml"))  # type: ignore
    parents = [entry.removeprefix(f"/{group}/") for entry in settings.get("defaults", []) if isinstance(entry, str)]
    known = [settings_of(group, n) for n in parents if continued and (CONF / group / f"{n}.yaml").exists()]
    return {key: value for part in (*known, settings) for key, value in part.items()}


def first_target(node: Any) -> str | None:
    """Return the first `_target_` at any depth."""
    if not isinstance(node, dict):
        return None
    return node.get("_target_") or next(filter(None, map(first_target, node.values())), None)
