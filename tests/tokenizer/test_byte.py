"""One token for each byte."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delt_exp.tokenizer.byte import ByteTokenizer
from tests.helpers import make_byte_tokenizer, make_corpus


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("byte")
    return make_byte_tokenizer(folder, make_corpus(folder, ["any text"]))


def test_the_vocabulary_is_256_bytes_and_the_separator(tokenizer):
    assert (tokenizer.vocab_size, tokenizer.eos_id) == (257, 256)


@settings(deadline=None)
@given(st.text())
def test_a_text_has_as_many_tokens_as_bytes_and_equal_bytes_have_equal_tokens(tokenizer, text):
    (ids,) = tokenizer.encode([text])
    raw = text.encode()
    assert len(ids) == len(raw)
    assert len(set(zip(ids, raw, strict=True))) == len(set(ids)) == len(set(raw))


def test_the_corpus_does_not_matter(tokenizer, tmp_path):
    assert ByteTokenizer.needs == frozenset()
    assert make_byte_tokenizer(tmp_path, make_corpus(tmp_path, ["other text"])).digest == tokenizer.digest
