"""Meets every YAML of conf/train_dataset and conf/target_dataset."""

import os
from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from delt_exp.cli.check import missing_keys
from delt_exp.config.build import build
from delt_exp.dataset.base import joined
from delt_exp.dataset.mixture import Mixture
from delt_exp.errors import ConfigError

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("DELT_DATA_DIR", ROOT.parent / "shared" / "data"))
PRESETS = [
    (group, file.stem)
    for group in ("train_dataset", "target_dataset")
    for file in sorted((ROOT / "conf" / group).glob("*"))
]
NEEDS_PARTS = {"mixture", "interleave"}


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """Compose one option of a group on a throw-away top level, each once for all tests."""
    folder = tmp_path_factory.mktemp("conf")
    (folder / "config.yaml").write_text("defaults: [_self_]\ndata_dir: ???\nseed: 0\n")

    @cache
    def compose_node(group, name, *overrides):
        with initialize_config_dir(str(folder), version_base="1.3"):
            paths = (f"hydra.searchpath=[file://{ROOT / 'conf'}]", f"data_dir={DATA}")
            return compose("config", overrides=[*paths, f"+{group}={name}", *overrides])[group]

    return compose_node


def open_keys(node):
    """The settings that the user has to give."""
    return {key.rpartition(".")[2] for key in missing_keys(OmegaConf.to_container(node))}


@pytest.mark.slow
@pytest.mark.parametrize(("group", "name"), PRESETS)
def test_a_preset_builds_and_a_local_one_yields_documents(node, group, name):
    config = node(group, name)
    if "${train_dataset" in OmegaConf.to_yaml(config):
        return  # a part of whatever the training corpus is
    if missing := open_keys(config):
        assert missing <= {"path", "repo", "name"}
        return
    if name in NEEDS_PARTS:
        with pytest.raises(ConfigError, match=r"parts is empty"):
            build(config)
        return
    if "path" in config and "${data_dir}" not in OmegaConf.to_yaml(config):
        return  # files of the user's own
    dataset = build(config)
    reader = config.dataset if "shards" in config else config
    if reader["_target_"].endswith("Hub"):
        assert reader.repo.count("/") == 1
        return
    if "${data_dir}" in OmegaConf.to_yaml(config) and not DATA.is_dir():
        pytest.skip(f"the local data folder {DATA} is not there")
    documents = list(dataset.documents())
    assert sum(bool(joined(document.parts).strip()) for document in documents) >= 50
    assert len(dataset.fingerprint()) >= 16
    if reader.get("messages"):
        assert not any(document.prompt for document in documents)
        assert any(len(document.turns) > 2 for document in documents)
    elif "stdlib" not in name:
        readers = list((reader.get("parts") or {"": reader}).values())
        has_prompts = all(one.get("prompt") is not None for one in readers)
        assert all(bool(document.prompt) for document in documents) == has_prompts


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for group, name in PRESETS if group == "target_dataset"])
def test_a_target_shares_no_document_with_the_training_preset(node, name):
    other = {"minif2f": "minif2f_lean4", "proofnet": "proofnet_lean4", "epicoder": "epicoder_part"}
    train_name = other.get(name, name.removesuffix("_half"))
    target = node("target_dataset", name)
    if "${train_dataset" in OmegaConf.to_yaml(target):
        return  # the other part of a split: see tests/dataset/test_split.py
    train = node("train_dataset", train_name)
    if "shards" in target and "shards" in train:
        assert not set(target.shards) & set(train.shards)
        assert (target.num_shards, target.dataset) == (train.num_shards, train.dataset)
    if open_keys(target) or name == "epicoder" or ("split" in target and target.split == train.split):
        return  # a file of the user's, a corpus that has no training split, or one of the Hub
    if "${data_dir}" in OmegaConf.to_yaml(target) and not DATA.is_dir():
        pytest.skip(f"the local data folder {DATA} is not there")
    texts = [{document.parts for document in build(config).documents()} for config in (target, train)]
    assert texts[0]
    assert not texts[0] & texts[1]


def test_alpaca_has_no_placeholder_for_missing_input(node):
    if not DATA.is_dir():
        pytest.skip(f"the local data folder {DATA} is not there")
    documents = list(build(node("train_dataset", "alpaca")).documents())
    assert len(documents) == 6500
    assert not any("NoInput" in document.prompt for document in documents)


def test_the_embedded_mixture_gives_each_part_a_third_of_1_2_megabytes(node):
    documents = list(build(node("train_dataset", "stdlib")).documents())
    totals = dict.fromkeys(("stdlib_prose", "stdlib_code", "stdlib_pairs"), 0)
    for document in documents:
        totals[document.source] += len((document.prompt + document.text).encode())
    assert 1_190_000 < sum(totals.values()) <= 1_200_000
    assert all(abs(total - 400_000) < 9_000 for total in totals.values())


@pytest.mark.parametrize(("base", "changes"), [("mixture", {"weights": {"news": 3, "books": 1}}), ("interleave", {})])
def test_two_corpora_are_mixed_from_the_command_line_as_the_files_say(node, base, changes):
    parts = [
        "+train_dataset@train_dataset.parts.news=news_agnews",
        "+train_dataset@train_dataset.parts.books=literature",
    ]
    weights = ["train_dataset.weights={news: 3, books: 1}"] if changes else []
    mixture = build(node("train_dataset", base, *parts, *weights))
    assert isinstance(mixture, Mixture)
    assert list(mixture.parts) == ["news", "books"]
    assert mixture.weights == changes.get("weights")


def test_lima_has_the_earlier_turns_of_its_dialogues(node):
    if not DATA.is_dir():
        pytest.skip(f"the local data folder {DATA} is not there")
    turns = [len(document.turns) for document in build(node("train_dataset", "lima")).documents()]
    assert len(turns) == 929
    assert sum(count > 2 for count in turns) == 28
