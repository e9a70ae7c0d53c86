"""Alignment by compression."""

import numpy as np
import pytest

from delt_exp.alignment.ncd import LEVELS, NcdAlignment
from delt_exp.alignment.table import coefficients
from delt_exp.errors import ConfigError, DependencyError
from tests.alignment.tiny import make_resources, make_text, sentences


def ncd(**changes):
    settings = {"codec": "zlib", "level": None, "document_bytes": 8192, "max_documents": 50, "compat": False, "seed": 0}
    return NcdAlignment(**{**settings, **changes})


@pytest.fixture(params=LEVELS)
def codec(request):
    pytest.importorskip({"lz4": "lz4.frame", "zstd": "zstandard"}.get(request.param, "zlib"))
    return request.param


def noise(seed):
    return "".join(chr(code) for code in np.random.default_rng(seed).integers(33, 127, 3000))


def align(tmp_path, metric, left, right):
    (row,) = coefficients(
        metric, {"l": make_text(tmp_path, left)}, {"r": make_text(tmp_path, right)}, make_resources(tmp_path)
    )
    return row


def test_a_document_against_itself_is_near_one_and_noise_near_zero(codec, tmp_path):
    assert align(tmp_path, ncd(codec=codec), [noise(0)], [noise(0)]).value == pytest.approx(1, abs=0.05)
    assert align(tmp_path, ncd(codec=codec), [noise(0)], [noise(1)]).value == pytest.approx(0, abs=0.1)


def test_a_text_is_more_aligned_with_its_own_kind(codec, tmp_path):
    first, second = sentences(12, seed=1), sentences(12, seed=2)
    other = sentences(12, seed=3, disguised=True)
    near, far = align(tmp_path, ncd(codec=codec), first, second), align(tmp_path, ncd(codec=codec), first, other)
    assert far.value < far.high < near.low < near.value


def test_the_formula_by_hand(tmp_path, monkeypatch):
    # A codec that keeps distinct bytes and has a header of 2: C("ab") = 2, C("abc") = 3, C("ababc") = 3, so
    # NCD = (3 - 2) / 3; with the header (5 - 4) / 5.
    monkeypatch.setattr(NcdAlignment, "_compressor", lambda self: lambda data: b"##" + bytes(sorted(set(data))))
    assert align(tmp_path, ncd(), ["ab"], ["abc"]).value == pytest.approx(1 - 1 / 3)
    assert align(tmp_path, ncd(compat=True), ["ab"], ["abc"]).value == pytest.approx(1 - 1 / 5)


def test_only_the_beginning_of_a_document_counts(tmp_path):
    short = ncd(document_bytes=100)
    left, right = noise(0)[:100], noise(1)[:100]
    assert align(tmp_path, short, [left + "x"], [right + "y"]).value == align(tmp_path, short, [left], [right]).value


def test_a_text_against_itself_leaves_out_a_document_with_itself(tmp_path):
    texts = {"a": make_text(tmp_path, [noise(seed) for seed in range(4)])}
    (row,) = coefficients(ncd(), texts, texts, make_resources(tmp_path))
    assert row.value == pytest.approx(0, abs=0.1)


def test_at_most_max_documents_are_paired_and_the_seed_draws_them(tmp_path):
    texts = {"a": make_text(tmp_path, sentences(30))}
    resources = make_resources(tmp_path)
    values = [coefficients(ncd(max_documents=5, seed=seed), texts, texts, resources)[0].value for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codec": "rar"}, "one of: zlib, gzip, lz4, zstd"),
        ({"level": 10}, "zlib has levels 0 to 9"),
        ({"max_documents": 1}, "NcdAlignment.max_documents=1 is not allowed"),
        ({"document_bytes": 0}, "NcdAlignment.document_bytes=0 is not allowed"),
    ],
)
def test_a_wrong_setting_is_refused_at_once(changes, message):
    with pytest.raises(ConfigError, match=message):
        ncd(**changes)


def test_a_missing_package_is_named_with_its_cure(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lz4.frame", None)
    with pytest.raises(DependencyError, match="needs the package 'lz4'"):
        align(tmp_path, ncd(codec="lz4"), ["a"], ["b"])
