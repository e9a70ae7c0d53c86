"""Alignment by sentence embeddings."""

import pytest

from delt_exp.alignment.sentence import SentenceAlignment
from delt_exp.alignment.table import coefficients
from delt_exp.errors import DataError
from tests.alignment.tiny import make_resources, make_text, sentences
from tests.encoder.tiny import tiny_encoder


def sentence():
    return SentenceAlignment(encoder=tiny_encoder(), max_documents=20, seed=0)


@pytest.mark.slow
def test_the_mean_hidden_state_of_the_probe_tells_texts_apart(tmp_path):
    items = {"near": sentences(20, seed=2), "far": sentences(20, seed=3, disguised=True)}
    texts = {name: make_text(tmp_path, documents) for name, documents in items.items()}
    trained = {"train": make_text(tmp_path, sentences(20, seed=1))}
    near, far = coefficients(sentence(), trained, texts, make_resources(tmp_path))
    assert far.value < far.high < near.low < near.value


@pytest.mark.slow
def test_a_text_against_itself_is_one(tmp_path):
    texts = {"a": make_text(tmp_path, sentences(5))}
    (row,) = coefficients(sentence(), texts, texts, make_resources(tmp_path))
    assert (row.value, row.low, row.high) == (1, None, None)


def test_a_text_of_one_document_has_no_interval_and_is_refused(tmp_path):
    sentence().check_documents(2, "the selection")
    with pytest.raises(DataError, match=r"^the selection has 1 document, and the interval of alignment=sentence needs"):
        sentence().check_documents(1, "the selection")
    texts = {name: make_text(tmp_path, sentences(count, seed=count)) for name, count in {"one": 1, "five": 5}.items()}
    with pytest.raises(DataError, match="text train has 1 document"):
        coefficients(sentence(), {"train": texts["one"]}, {"five": texts["five"]}, make_resources(tmp_path))
