"""What every tokenizer promises; a new YAML in conf/tokenizer is met here without a change."""

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.utils import get_class
from hypothesis import example, given, settings
from hypothesis import strategies as st

from delt_exp.config.build import build, plain
from delt_exp.config.identity import identity
from delt_exp.tokenizer.base import END_OF_TEXT, Tokenizer
from tests.helpers import make_byte_tokenizer, make_corpus, new_folder

CONF = Path(__file__).parents[2] / "conf"
DATA = Path(os.environ.get("DELT_DATA_DIR", CONF.parents[1] / "shared" / "data"))
NAMES = sorted(path.stem for path in (CONF / "tokenizer").glob("*.yaml"))
TEXTS = ["def merge(a, b):\n    return a + b\n", "Ein Überraschungsei kostet 2 €.", "the cat sat on the mat " * 20]


def saved_tokenizer(folder: Path) -> list[str]:
    return [f"tokenizer.name={make_byte_tokenizer(folder, make_corpus(folder, TEXTS)).folder}"]


# What a YAML needs to run here: files made for it, or smaller numbers.
SETTINGS: dict[str, Callable[[Path], list[str]]] = {
    "hf": saved_tokenizer,
    "bpe": lambda folder: ["tokenizer.vocab_size=300"],
    "bpe_seven_domains": lambda folder: ["tokenizer.vocab_size=300", "tokenizer.dataset.max_bytes=20_000"],
}


def compose(name: str, overrides: list[str]) -> Any:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(overrides=["+seed=0", f"+data_dir={DATA}", f"+tokenizer={name}", *overrides]).tokenizer


@pytest.fixture(scope="module", params=NAMES)
def made(request, tmp_path_factory):
    """The same tokenizer made twice, with its maker."""
    if request.param == "bpe_seven_domains" and not DATA.exists():
        pytest.skip("needs the local data folder")
    folder = tmp_path_factory.mktemp(request.param)
    maker = build(compose(request.param, SETTINGS.get(request.param, lambda folder: [])(folder)))
    twice = []
    for _ in range(2):
        tokenizer = Tokenizer(new_folder(folder))
        maker.make(TEXTS, tokenizer.folder)
        twice.append(tokenizer)
    return maker, *twice


def test_there_are_tokenizers_to_check():
    assert {"bpe", "byte", "hf"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_yaml_key_is_a_field_and_no_field_has_a_default(name):
    node = compose(name, ["tokenizer.name=x"] if name == "hf" else [])
    parameters = inspect.signature(get_class(node._target_)).parameters
    assert set(plain(node)) - {"_target_"} == set(parameters)
    assert [p.name for p in parameters.values() if p.default is not inspect.Parameter.empty] == []


@settings(deadline=None)  # the first example loads the tokenizer
@given(st.lists(st.text(), max_size=3))
@example(["a\u0301 \u00e1", " \r\n\t\x00\x7f\ufeff", "𝄞👩‍👩‍👧", "</s> [UNK] ▁Ġ"])
@example([])
def test_encoding_loses_nothing(made, texts):
    _, tokenizer, _ = made
    assert [tokenizer.decode(ids) for ids in tokenizer.encode(texts)] == texts


@settings(deadline=None)
@given(st.lists(st.text(), max_size=4))
def test_a_batch_encodes_as_each_text_alone_within_the_vocabulary(made, texts):
    _, tokenizer, _ = made
    batch = tokenizer.encode(texts)
    assert batch == [tokenizer.encode([text])[0] for text in texts]
    assert all(0 <= token < tokenizer.vocab_size and token != tokenizer.eos_id for ids in batch for token in ids)


def test_the_separator_is_one_token_of_the_vocabulary(made):
    _, tokenizer, _ = made
    assert 0 <= tokenizer.eos_id < tokenizer.vocab_size
    assert tokenizer.decode([tokenizer.eos_id]) == END_OF_TEXT


def test_no_special_token_is_added(made):
    _, tokenizer, _ = made
    assert tokenizer.encode([""]) == [[]]


def test_a_long_text_is_not_truncated(made):
    _, tokenizer, _ = made
    text = "\x7f" * 100_000
    assert tokenizer.decode(tokenizer.encode([text])[0]) == text


def test_made_again_it_is_the_same(made):
    _, first, second = made
    assert first.meta == second.meta
    assert first.encode(TEXTS) == second.encode(TEXTS)


def test_transformers_loads_the_folder_and_encodes_alike(made):
    from transformers import AutoTokenizer

    _, tokenizer, _ = made
    loaded = AutoTokenizer.from_pretrained(tokenizer.folder)
    assert loaded(TEXTS, add_special_tokens=False)["input_ids"] == tokenizer.encode(TEXTS)
    assert (len(loaded), loaded.eos_token_id) == (tokenizer.vocab_size, tokenizer.eos_id)
    assert [loaded.decode(ids) for ids in tokenizer.encode(TEXTS)] == TEXTS


def test_the_identity_holds_the_version_and_every_setting(made):
    maker, *_ = made
    values = identity(maker)
    assert values["VERSION"] >= 1
    assert maker.needs <= {"corpus"}
    assert set(inspect.signature(type(maker)).parameters) <= set(values)
