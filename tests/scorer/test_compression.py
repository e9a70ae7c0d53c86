"""Sizes that follow from the formats, and the ends of the scale."""

import zlib

import numpy as np
import pytest

from delt_exp.dataset.base import Document
from delt_exp.errors import ConfigError
from delt_exp.scorer.compression import CompressionScorer
from tests.helpers import make_pool


def scores(tmp_path, *texts, codec="zlib", level=9):
    return CompressionScorer(codec, level, True).score(make_pool(tmp_path, texts))


def test_a_block_of_one_letter_has_the_bits_of_the_format(tmp_path):
    # RFC 1951, fixed Huffman codes: 3 bits of header, 8 of the letter, 7 of the end: 18 bits in 3 bytes.
    assert scores(tmp_path, "a").tolist() == [24]
    # One letter repeated 258 times takes at least header 3, letter 8, length 8, distance 5, end 7: 31 bits.
    (repeated,) = scores(tmp_path, "a" * 259)
    assert 8 * 4 <= repeated * 259 <= 8 * 8


@pytest.mark.parametrize("codec", ["zlib", "zstd"])
def test_repetition_is_near_0_prose_between_and_random_letters_above_log2_26(tmp_path, codec):
    rng = np.random.default_rng(0)
    prose = " ".join(line for line in zlib.__doc__.split("\n")) * 1
    letters = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 2000))
    repeated, between, random = scores(tmp_path, "snippet " * 250, prose, letters, codec=codec)
    assert repeated < 0.2 < between < 6
    assert np.log2(26) < random < 5.2
    assert repeated < between


def test_the_whole_document_counts_in_bytes_of_utf_8(tmp_path):
    # "é" takes two bytes: the same compressed size over twice as many bytes as characters.
    whole, pair = scores(tmp_path, "é" * 50, Document("é" * 25, prompt="é" * 25))
    assert whole == pair
    assert whole == pytest.approx(8 * len(zlib.compress(b"\xc3\xa9" * 50, 9, wbits=-15)) / 100)


@pytest.mark.parametrize(("dense", "better"), [(True, "higher"), (False, "lower")])
def test_dense_decides_the_direction(dense, better):
    assert CompressionScorer("zlib", 9, dense).meaning.better == better


@pytest.mark.parametrize(("codec", "level", "most"), [("zlib", 10, 9), ("zstd", 23, 22)])
def test_a_level_that_the_codec_lacks_is_refused(codec, level, most):
    with pytest.raises(ConfigError, match=rf"scorer.level={level} is not a level of {codec}; give 1 to {most}"):
        CompressionScorer(codec, level, True)


def test_other_codecs_are_refused():
    with pytest.raises(ConfigError, match=r"CompressionScorer.codec="):
        CompressionScorer("lzma", 1, True)
