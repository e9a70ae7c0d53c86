"""Merges learned from a corpus small enough to follow by hand."""

import pytest

from delt_exp.dataset.stdlib import StdlibProse
from delt_exp.errors import ConfigError
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.tokenizer.bpe import BpeTokenizer
from tests.helpers import new_folder


@pytest.fixture
def make(tmp_path):
    def make(texts, vocab_size, train_bytes=None):
        tokenizer = Tokenizer(new_folder(tmp_path))
        BpeTokenizer(vocab_size, train_bytes, None).make(texts, tokenizer.folder)
        return tokenizer

    return make


def pieces(tokenizer, text):
    return [tokenizer.decode([token]) for token in tokenizer.encode([text])[0]]


def test_the_most_frequent_pairs_are_merged_first(make):
    # Pairs: "ab" 3 times, "bc" 2, "xy" 1. One free id: "ab"; two: "abc", as "ab"+"c" (2) beats "xy" (1).
    texts = ["ab", "abc", "abc", "xy"]
    assert pieces(make(texts, 257 + 1), "abcxy") == ["ab", "c", "x", "y"]
    assert pieces(make(texts, 257 + 2), "abcxy") == ["abc", "x", "y"]


def test_merges_do_not_cross_words(make):
    tokenizer = make(["go on. " * 50], 400)
    assert all(" " not in piece[1:] for piece in pieces(tokenizer, "go on. go on."))


def test_ids_are_bytes_separator_and_merges_up_to_the_size_asked_for(make):
    texts = ["the quick brown fox jumps over the lazy dog " * 3]
    assert make(texts, 270).vocab_size == 270
    assert make(["ab"], 4096).vocab_size == 258  # one merge is all there is to learn


def test_training_reads_the_start_of_the_corpus_only(make):
    texts = ["aa", "bb", "bb", "bb"]
    assert pieces(make(texts, 258, train_bytes=2), "aabb") == ["aa", "b", "b"]
    assert pieces(make(texts, 258), "aabb") == ["a", "a", "bb"]


def test_a_corpus_of_other_text_gives_another_digest(make):
    assert make(["ab ab"], 258).digest == make(["ab ab"], 258).digest != make(["cd cd"], 258).digest


@pytest.mark.slow
def test_runs_on_two_corpora_share_the_merges_of_a_third(tmp_path):
    shared = BpeTokenizer(300, None, StdlibProse(split="train", max_bytes=5_000))
    digests = set()
    for texts in (["ab ab ab"], ["cd cd cd"]):
        tokenizer = Tokenizer(new_folder(tmp_path))
        shared.make(texts, tokenizer.folder)
        digests.add(tokenizer.digest)
    assert len(digests) == 1
    assert shared.needs == frozenset()


@pytest.mark.parametrize("size", [0, 255, 256])
def test_a_vocabulary_smaller_than_the_bytes_is_refused(size):
    with pytest.raises(
        ConfigError, match=rf"BpeTokenizer\.vocab_size={size} .*at least 257 \(256 bytes and a separator\)"
    ):
        BpeTokenizer(size, None, None)
