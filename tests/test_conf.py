"""Every YAML of every group composes, and every key in it is a real parameter without a default of its own."""

import importlib
import inspect
from functools import cache
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from delt_exp.cli.help import description, group_names, options
from delt_exp.config.build import CONF
from delt_exp.config.compose import composed
from tests.contract import file_of_tests, methods, settings_of, target

OPTIONS = {group: options(CONF, group) for group in group_names(CONF)}
ALL = [(group, option) for group, names in OPTIONS.items() for option in names]
ALONE = ("experiment", "study")  # their options choose those of other groups
DEFAULTS = OmegaConf.load(CONF / "config.yaml").defaults
CHOSEN = {key for entry in DEFAULTS if isinstance(entry, DictConfig) for key in entry}  # the others are parts of these
SPECIAL = {"_target_", "_partial_"}


def composed_with(group, option):
    """Return a configuration with this option; one composition has an option of every group, for speed."""
    return composed(CONF, [f"{group}={option}"]) if group in ALONE else together(OPTIONS[group].index(option))


@cache
def together(number):
    chosen = {group: names[number % len(names)] for group, names in OPTIONS.items() if group not in ALONE}
    parts = {group for group in chosen if group not in CHOSEN and "/" not in group}
    return composed(CONF, [f"{'+' * (group in parts)}{group}={name}" for group, name in chosen.items()])


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
        if node.get("_partial_"):  # a function that gets documents later: only what must be named is a setting
            parameters = {name: p for name, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}
        given = set(node) - SPECIAL
        assert given <= set(parameters), f"{node['_target_']}: {given - set(parameters)} are no parameters"
        left = set(parameters) - given
        assert not left, f"{node['_target_']}: {left} are not set by the YAML"
        defaults = [n for n in given if parameters[n].default is not inspect.Parameter.empty]
        assert not defaults, f"{node['_target_']}: {defaults} have a second default in code"


@pytest.mark.parametrize(("group", "option"), ALL)
def test_every_file_begins_with_a_line_for_the_help_page(group, option):
    assert 10 <= len(description(CONF / group / f"{option}.yaml")) <= 120


@pytest.mark.parametrize(("group", "option"), methods())
def test_every_method_has_a_test_file_named_like_its_module(group, option):
    assert file_of_tests(group, option).exists()


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
    config = composed(CONF, [*scorer, f"data_scorer@{place}.data_scorer={option}", f"{place}.data_scorer.seed=7"])
    chosen = OmegaConf.select(config, f"{place}.data_scorer")
    assert chosen["_target_"] == target("data_scorer", option)
    assert set(chosen) == set(settings_of("data_scorer", option)) - {"defaults"}


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
