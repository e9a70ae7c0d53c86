"""What every tokenizer promises; a new YAML in conf/tokenizer is met here without a change."""

import inspect

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from delt_exp.cli.help import options
from delt_exp.config.build import CONF, build
from delt_exp.config.identity import identity
from delt_exp.tokenizer.base import END_OF_TEXT, Tokenizer
from tests.contract import configured
from tests.helpers import new_folder

NAMES = options(CONF, "tokenizer")
TEXTS = ["def merge(a, b):\n    return a + b\n", "Ein Überraschungsei kostet 2 €.", "the cat sat on the mat " * 20]


def with_files_slow(name):
    """A tokenizer as a parameter: one of the shared data takes seconds."""
    text = (CONF / "tokenizer" / f"{name}.yaml").read_text()
    reads_data = "data_dir" in text or "/train_dataset/" in text
    return pytest.param(name, marks=pytest.mark.slow if reads_data else ())


@pytest.fixture(scope="module", params=map(with_files_slow, NAMES))
def made(request, tmp_path_factory):
    """The same tokenizer made twice, with its maker."""
    folder = tmp_path_factory.mktemp(request.param)
    maker = build(configured("tokenizer", request.param, folder).tokenizer)
    twice = []
    for _ in range(2):
        tokenizer = Tokenizer(new_folder(folder))
        maker.make(TEXTS, tokenizer.folder)
        twice.append(tokenizer)
    return maker, *twice


def test_there_are_tokenizers_to_check():
    assert {"bpe", "byte", "hf"} <= set(NAMES)


@pytest.mark.slow
@settings(deadline=None)  # the first example loads the tokenizer
@given(st.lists(st.text(), max_size=3))
@example(["a\u0301 \u00e1", " \r\n\t\x00\x7f\ufeff", "𝄞👩‍👩‍👧", "</s> [UNK] ▁Ġ"])
@example([])
def test_encoding_loses_nothing(made, texts):
    _, tokenizer, _ = made
    assert [tokenizer.decode(ids) for ids in tokenizer.encode(texts)] == texts


@pytest.mark.slow
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
