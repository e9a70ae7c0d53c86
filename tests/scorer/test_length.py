"""Lengths counted by hand."""

import pytest

from delt_exp.dataset.base import Document
from delt_exp.errors import ConfigError, DataError
from delt_exp.scorer.length import LengthScorer
from tests.helpers import make_pool

# UTF-8: é has 2 bytes, € 3, 𝄞 4.
TEXTS = ["abc", "é€𝄞", "one\ntwo", Document("completion", prompt="é: ")]
BYTES = [3, 9, 7, 14]


@pytest.mark.parametrize("unit", ["bytes", "tokens"])
def test_bytes_and_byte_tokens_count_the_utf8_of_prompt_and_text(tmp_path, unit):
    assert LengthScorer(unit=unit, longer=True).score(make_pool(tmp_path, TEXTS)).tolist() == BYTES


def test_tokens_are_those_of_the_tokenizer_and_bytes_do_not_depend_on_it(tmp_path, monkeypatch):
    pool = make_pool(tmp_path, TEXTS)
    monkeypatch.setitem(pool.candidates.tokens.__dict__, "lengths", pool.candidates.tokens.lengths * 10)
    assert LengthScorer(unit="tokens", longer=True).score(pool).tolist() == [30, 90, 70, 140]
    assert LengthScorer(unit="bytes", longer=True).score(pool).tolist() == BYTES


def test_both_answers_of_a_preference_count_and_its_prompt_does_not(tmp_path):
    pairs = [Document("yes", "a long question? ", rejected="never"), Document("no", "why? ", rejected="é")]
    scorer = LengthScorer(unit="answer_tokens", longer=True)
    assert scorer.score(make_pool(tmp_path, pairs)).tolist() == [3 + 5 + 2, 2 + 2 + 2]  # an end-of-text each
    assert scorer.meaning.unit == "tokens"
    with pytest.raises(DataError, match="rejected"):
        scorer.score(make_pool(tmp_path, ["no preference"]))


@pytest.mark.parametrize(("unit", "needs"), [("bytes", set()), ("tokens", {"tokens"}), ("answer_tokens", {"tokens"})])
def test_only_token_lengths_need_tokens(unit, needs):
    assert LengthScorer(unit=unit, longer=True).needs == needs


@pytest.mark.parametrize(("longer", "better"), [(True, "higher"), (False, "lower")])
def test_longer_decides_the_direction(longer, better):
    meaning = LengthScorer(unit="bytes", longer=longer).meaning
    assert (meaning.better, meaning.unit) == (better, "bytes")


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"unit": "words", "longer": True}, "LengthScorer.unit="),
        ({"unit": "bytes", "longer": "no"}, "LengthScorer.longer="),
    ],
)
def test_other_settings_are_refused(settings, key):
    with pytest.raises(ConfigError, match=key):
        LengthScorer(**settings)
