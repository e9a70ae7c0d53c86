"""The experiment that a newcomer runs first: a choice for a target, measured on text that neither of them has seen."""

from functools import cache

import pytest

from delt_exp.config.build import CONF, build
from delt_exp.config.compose import composed
from delt_exp.study.sweep import with_common


@cache
def default():
    return composed(CONF, [])


def texts(node):
    return {document.prompt + document.text for document in build(node).documents()}


@pytest.mark.slow
def test_candidates_target_and_evaluation_sets_share_no_document():
    config = default()
    candidates, target = texts(config.train_dataset), texts(config.target_dataset)
    evaluation = [texts(node.dataset) for node in config.eval_dataset.values()]
    assert all([candidates, target, *evaluation])
    assert not candidates & target
    assert not any(text & (candidates | target) for text in evaluation)


def test_it_is_measured_on_the_kind_of_its_target_and_on_what_it_leaves_out():
    config = default()
    kinds = {name: node.dataset["_target_"] for name, node in config.eval_dataset.items()}
    assert config.target_dataset["_target_"] in kinds.values()
    parts = {node["_target_"] for node in config.train_dataset.parts.values()}
    assert set(kinds.values()) == parts


def test_it_has_a_choice_to_make_and_a_baseline():
    assert default().selector.ratio < 1
    assert default().baseline["_target_"].endswith(".shuffled")


def test_runs_of_a_sweep_have_no_baseline_unless_the_command_asks_for_one():
    common = default_sweeper()
    assert with_common(common, ["scorer=length"]) == ["baseline=none", "scorer=length"]
    assert with_common(common, ["baseline=shuffle"]) == ["baseline=shuffle"]


def default_sweeper():
    from omegaconf import OmegaConf

    return list(OmegaConf.load(CONF / "hydra" / "sweeper" / "study.yaml").common)
