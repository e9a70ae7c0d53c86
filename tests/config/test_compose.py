"""What is composed from memory is what Hydra composes, for every run of every study."""

import pickle
import shutil

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from delt_exp.cli.help import options
from delt_exp.config.build import CONF, build
from delt_exp.config.compose import CachedLoader, composed, hydra_at
from delt_exp.study.definition import at_seed


def by_hydra(overrides):
    with initialize_config_dir(str(CONF), version_base="1.3", job_name="run"):
        return compose("config", list(overrides), return_hydra_config=True)


def from_memory(overrides, mode=RunMode.RUN):
    with hydra_at(CONF) as hydra:
        assert isinstance(hydra.config_loader, CachedLoader)
        return hydra.config_loader.load_configuration("config", list(overrides), mode)


def commands_of(name):
    study = build(composed(CONF, [f"study={name}"]).study, "study")
    texts = [[*at_seed(study.common, job.seed), *job.overrides] for job in study.jobs()]
    return [[f"study={name}", *(text.replace("{base}", "base") for text in command)] for command in texts]


def described(node, place=""):
    """Yield place, type, flags and value of every node of a configuration, references as they are written."""
    meta = node._metadata
    yield place, type(node), meta.ref_type, meta.object_type, meta.optional, meta.flags, meta.key
    if OmegaConf.is_config(node) and not node._is_none() and not node._is_interpolation():
        for key in node if OmegaConf.is_dict(node) else range(len(node)):
            yield from described(node._get_node(key), f"{place}.{key}")
    else:
        yield place, node._value()


def assert_same(overrides):
    ours, theirs = list(described(from_memory(overrides))), list(described(by_hydra(overrides)))
    assert ours == theirs, overrides


@pytest.mark.slow
@pytest.mark.parametrize("name", options(CONF, "study"))
def test_runs_of_every_study_are_composed_as_hydra_does(name):
    """The first and the last; `python -m benchmarks startup` compares them all."""
    commands = commands_of(name)
    for command in (commands[0], commands[-1]):
        assert_same(command)


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["seed=1", "selector.ratio=0.5", "scorer=random", "selector.ratio=0.25"],
        ["scorer.num_annotated=null", "scorer=lqs", "scorer.num_annotated=7"],
        ["+corpus.foo=1", "corpus.foo=2", "~corpus.foo", "seed=1"],
        ["corpus.max_document_chars=5", "~corpus.max_document_chars", "++corpus.max_document_chars=6"],
        ["model.network.config={hidden_size: 16}", "model.network.config.hidden_size=${seed}"],
        [
            "+train_dataset@train_dataset.parts.news=news_agnews",
            "train_dataset=mixture",
            "train_dataset.unit=documents",
        ],
        ["hydra.job.name=x", "seed=3", "hydra.job.config.override_dirname.exclude_keys=[seed]", "output_dir=a"],
        ["eval_dataset=[stdlib,local_bench]", "eval_dataset.local_bench=null"],
        ["scorer={_target_: x}", "seed=1"],
    ],
)
def test_overrides_of_every_kind_are_applied_as_hydra_does(overrides):
    for _ in range(2):  # the second time from memory
        assert_same(overrides)


@pytest.mark.parametrize("overrides", [["seed.x=1"], ["sed=1"], ["selector.ratio=0.5", "scorer=nothing"], ["seed=1,2"]])
def test_what_does_not_compose_says_what_hydra_says(overrides):
    with pytest.raises(HydraException) as ours:
        from_memory(overrides)
    with pytest.raises(HydraException) as theirs:
        by_hydra(overrides)
    assert str(ours.value).splitlines()[0] == str(theirs.value).splitlines()[0]


def test_a_change_of_one_configuration_does_not_reach_the_next():
    first = from_memory(["seed=1"])
    first.corpus.max_document_chars = 7
    assert from_memory(["seed=1"]).corpus.max_document_chars == 2000


@pytest.mark.slow
def test_a_configuration_made_in_one_folder_serves_in_another_as_hydra_composes_it_there(tmp_path, monkeypatch):
    from_memory(["seed=1"])
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert from_memory(["seed=1"]).hydra.runtime.cwd == str(tmp_path / "other")
    assert_same(["seed=1"])


@pytest.mark.slow
def test_an_option_that_refers_to_another_choice_is_that_of_hydra(tmp_path):
    """Hydra looks it up in a map of all choices, which is made for files with such a reference alone."""
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    text = (conf / "config.yaml").read_text()
    (conf / "config.yaml").write_text(
        text.replace("\n  - train_dataset:", "\n  - said: ${tokenizer}\n  - train_dataset:", 1)
    )
    (conf / "said").mkdir()
    for tokenizer in ("byte", "bpe"):
        (conf / "said" / f"{tokenizer}.yaml").write_text(f"by: {tokenizer}\n")
    for tokenizer in ("byte", "bpe"):
        with initialize_config_dir(str(conf), version_base="1.3"):
            assert compose("config", [f"tokenizer={tokenizer}"]).said.by == tokenizer
        assert composed(conf, [f"tokenizer={tokenizer}"]).said.by == tokenizer


@pytest.mark.slow
def test_files_of_a_search_path_are_not_taken_for_those_of_another(tmp_path):
    for number in range(2):
        folder = tmp_path / str(number) / "scorer"
        folder.mkdir(parents=True)
        (folder / "mine.yaml").write_text(f"number: {number}\n")
        overrides = [f"hydra.searchpath=[{folder.parent}]", "scorer=mine"]
        assert_same(overrides)
        assert from_memory(overrides).scorer.number == number


@pytest.mark.slow
def test_files_are_read_again_when_they_change(tmp_path):
    shutil.copytree(CONF, tmp_path / "conf")
    file = tmp_path / "conf" / "config.yaml"
    assert composed(tmp_path / "conf", []).seed == 0
    file.write_text(file.read_text().replace("\nseed: 0", "\nseed: 11"))
    assert composed(tmp_path / "conf", []).seed == 11


def test_a_loader_that_is_sent_to_another_process_leaves_its_memory_behind():
    with hydra_at(CONF) as hydra:
        hydra.config_loader.load_configuration("config", [], RunMode.RUN)
        assert hydra.config_loader.memory.made
        assert hydra.config_loader.memory.read
        sent = pickle.loads(pickle.dumps(hydra.config_loader))
        assert not sent.memory.made
        assert not sent.memory.read
        assert not sent.memory.placed
        assert not sent.repository.memory.read
