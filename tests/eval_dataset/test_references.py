"""Losses that need no model are what one can count."""

import math

import pytest

from delt_exp.eval_dataset.references import loss_references
from tests.helpers import make_pool


def tokens_of(folder, texts):
    return make_pool(folder, texts)


def test_uniform_and_unigram_by_hand(tmp_path):
    candidates, text = (make_pool(tmp_path / name, texts) for name, texts in (("a", ["aab", "b"]), ("b", ["ab"])))
    tokens = candidates.candidates.tokens
    found = loss_references(candidates.resources.store, tokens, text.candidates.tokens)
    vocab_size = tokens.meta["vocab_size"]
    assert found["uniform"] == pytest.approx(math.log(vocab_size))
    counted = 4 + vocab_size  # two a and two b, and each token once more
    assert found["unigram"] == pytest.approx(-math.log(3 / counted))
