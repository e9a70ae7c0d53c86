"""Every YAML of every group composes, and every key in it is a real parameter without a default of its own."""

import importlib
import inspect
from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from delt_exp.cli.help import description, group_names, options
from delt_exp.config.build import CONF
from delt_exp.config.run_name import register_resolvers

OPTIONS = {group: options(CONF, group) for group in group_names(CONF)}
ALL = [(group, option) for group, names in OPTIONS.items() for option in names]
ALONE = ("experiment", "study")  # their options choose those of other groups
UNUSED_BY_DEFAULT = ("data_scorer",)  # chosen inside a scorer
SPECIAL = {"_target_", "_partial_"}


@pytest.fixture(scope="module", autouse=True)
def hydra():
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def composed_with(group, option):
    """Return a configuration with this option; one composition has an option of every group, for speed."""
    return compose("config", [f"{group}={option}"]) if group in ALONE else together(OPTIONS[group].index(option))


@cache
def together(number):
    chosen = {group: names[number % len(names)] for group, names in OPTIONS.items() if group not in ALONE}
    return compose("config", [f"{'+' * (group in UNUSED_BY_DEFAULT)}{group}={name}" for group, name in chosen.items()])


def targets(node):
    if isinstance(node, dict):
        if "_target_" in node:
            yield node
        for value in node.values():
            yield from targets(value)


@pytest.mark.parametrize(("group", "option"), ALL)
def test_every_option_composes_and_its_keys_are_parameters(group, option):
    for node in targets(OmegaConf.to_container(composed_with(group, option), resolve=False)):
        module, _, name = node["_target_"].rpartition(".")
        parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters
        given = set(node) - SPECIAL
        assert given <= set(parameters), f"{node['_target_']}: {given - set(parameters)} are no parameters"
        left = set(parameters) - given - ({"candidates"} if node.get("_partial_") else set())
        assert not left, f"{node['_target_']}: {left} are not set by the YAML"
        defaults = [n for n in given if parameters[n].default is not inspect.Parameter.empty]
        assert not defaults, f"{node['_target_']}: {defaults} have a second default in code"


@pytest.mark.parametrize(("group", "option"), ALL)
def test_every_file_begins_with_a_line_for_the_help_page(group, option):
    assert 10 <= len(description(CONF / group / f"{option}.yaml")) <= 120


SAME_CODE = {"pds": "lqs", "learnability": "lqs", "quality": "lqs"}  # one implementation, four settings


def test_every_scorer_selector_orderer_and_data_scorer_has_code_and_test_of_its_name():
    root = CONF.parent
    for group in ("scorer", "selector", "orderer", "data_scorer"):
        for option in options(CONF, group):
            name = SAME_CODE.get(option, option)
            assert (root / "delt_exp" / group / f"{name}.py").exists()
            assert (root / "tests" / group / f"test_{name}.py").exists()


@pytest.mark.parametrize("option", options(CONF, "data_scorer"))
@pytest.mark.parametrize(
    ("scorer", "place"),
    [
        (["scorer=lqs"], "scorer"),
        (["scorer=pds"], "scorer"),
        (["scorer=permuted", "scorer@scorer.base=lqs"], "scorer.base"),
    ],
)
def test_every_data_scorer_can_be_chosen_for_every_scorer_that_has_one(option, scorer, place):
    config = compose("config", [*scorer, f"data_scorer@{place}.data_scorer={option}", f"{place}.data_scorer.seed=7"])
    chosen = OmegaConf.select(config, f"{place}.data_scorer")
    assert chosen["_target_"].startswith(f"delt_exp.data_scorer.{option}.")
    assert set(chosen) == set(OmegaConf.load(CONF / "data_scorer" / f"{option}.yaml"))


def test_the_configuration_names_no_absolute_path():
    for file in Path(CONF).rglob("*.yaml"):
        assert "/home/" not in file.read_text()


def test_a_class_name_means_one_class_so_that_store_keys_need_no_module_path():
    targets = {
        line.split("_target_:")[1].strip()
        for f in CONF.rglob("*.yaml")
        for line in f.read_text().splitlines()
        if "_target_:" in line
    }
    names = [target.rsplit(".", 1)[1] for target in targets]
    assert len(names) > 20
    assert sorted(names) == sorted(set(names))


def test_moving_a_component_to_another_file_keeps_its_store_keys(monkeypatch):
    from delt_exp.config.identity import identity
    from delt_exp.scorer.random import RandomScorer

    before = identity(RandomScorer(seed=0))
    monkeypatch.setattr(RandomScorer, "__module__", "delt_exp.elsewhere")
    assert identity(RandomScorer(seed=0)) == before
    assert "delt_exp" not in str(before)
