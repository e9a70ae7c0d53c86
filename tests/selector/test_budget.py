"""A budget of tokens is filled from the best document downwards and never exceeded, whichever selector has it."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from delt_exp.cli.help import options
from delt_exp.config.build import CONF, build
from delt_exp.errors import ConfigError, DataError
from delt_exp.rows.candidates import Candidates
from delt_exp.selector.matched import matched_rows
from delt_exp.selector.quota import quota
from delt_exp.selector.top_k import top_k
from delt_exp.selector.top_r import top_r
from tests.contract import configured, settings_of

DRAWS = np.random.default_rng(4)
MANY = Candidates(
    DRAWS.integers(2**64, size=400, dtype=np.uint64),
    DRAWS.normal(size=400).round(1).astype(np.float32),  # with ties
    np.arange(400) % 3,
    ["a", "b", "c"],
    DRAWS.integers(1, 40, size=400),
)
WITH_UNIT = [
    name
    for name in options(CONF, "selector")
    if "unit" in settings_of("selector", name) and settings_of("selector", name).get("_partial_")
]
FIVE = replace(
    Candidates.ungrouped(np.arange(5, dtype=np.uint64), np.array([1, 5, 3, 4, 2], np.float32)),
    num_tokens=np.array([1, 10, 30, 20, 40]),  # from the best downwards: rows 1, 3, 2, 4, 0 with 10, 20, 30, 40, 1
)


@cache
def selector(name, unit):
    size = ["selector.k=150"] if name == "top_k" else []
    return build(configured("selector", name, Path(), f"selector.unit={unit}", *size).selector)


def test_every_selector_with_a_share_or_a_number_to_keep_has_a_unit():
    with_budget = [name for name in options(CONF, "selector") if {"k", "ratio"} & set(settings_of("selector", name))]
    assert {name for name in with_budget if not name.startswith("active_dpo")} == set(WITH_UNIT)


@pytest.mark.parametrize("name", WITH_UNIT)
def test_documents_of_one_token_each_are_kept_as_if_they_were_counted(name):
    ones = replace(MANY, num_tokens=np.ones(400, np.int64))
    np.testing.assert_array_equal(selector(name, "tokens")(ones), selector(name, "documents")(MANY))


@pytest.mark.parametrize("name", [name for name in WITH_UNIT if name not in ("top_k", "quota")])
def test_the_tokens_kept_are_the_most_below_the_budget_but_for_one_document(name):
    kept, ratio = selector(name, "tokens")(MANY), settings_of("selector", name)["ratio"]
    budget, tokens = int(ratio * MANY.num_tokens.sum()), MANY.num_tokens[kept].sum()
    assert budget - 40 < tokens <= budget


@pytest.mark.parametrize("name", WITH_UNIT)
def test_the_same_documents_stay_whatever_the_order_of_the_rows(name):
    rows = np.random.default_rng(0).permutation(400)
    kept, of_permuted = (
        MANY.ids[of] for of in (selector(name, "tokens")(MANY), rows[selector(name, "tokens")(MANY.take(rows))])
    )
    np.testing.assert_array_equal(np.sort(kept), np.sort(of_permuted))


@pytest.mark.parametrize(("k", "kept"), [(10, [1]), (29, [1]), (30, [1, 3]), (61, [1, 2, 3]), (101, [0, 1, 2, 3, 4])])
def test_the_first_document_that_does_not_fit_ends_it_although_a_shorter_one_would(k, kept):
    assert top_k(FIVE, k=k, unit="tokens").tolist() == kept


def test_a_share_of_tokens_is_one_of_the_tokens_of_all_documents():
    assert top_r(FIVE, ratio=0.3, unit="tokens").tolist() == [1, 3]  # floor(30.3) of 101


def test_a_budget_below_the_first_document_or_above_all_is_refused_with_a_cure():
    with pytest.raises(ConfigError, match=r"budget of 9 tokens keeps none of 5 documents: the first one has 10 tokens"):
        top_k(FIVE, k=9, unit="tokens")
    with pytest.raises(ConfigError, match=r"selector.k=102 is more than the 101 tokens .*lower selector.k to at most"):
        top_k(FIVE, k=102, unit="tokens")
    with pytest.raises(ConfigError, match=r"selector.ratio=0.001 keeps none of 101 tokens; raise selector.ratio"):
        top_r(FIVE, ratio=0.001, unit="tokens")
    with pytest.raises(ConfigError, match=r"selector.*unit='words' is not allowed|unit='words' is not allowed"):
        top_r(FIVE, ratio=0.5, unit="words")


def test_documents_whose_tokens_nobody_counted_are_refused():
    with pytest.raises(DataError, match="needs the tokens of each document; pass num_tokens"):
        top_r(replace(FIVE, num_tokens=None), ratio=0.5, unit="tokens")


def test_every_source_gets_its_share_of_the_tokens_and_is_named_where_nothing_fits():
    two = replace(FIVE, groups=np.array([0, 0, 1, 1, 1]), group_names=["a", "b"])  # 11 and 90 tokens
    assert quota(two, ratio=0.99, unit="tokens", shares="proportional").tolist() == [0, 1, 2, 3]  # 11 of 11, 50 of 88
    with pytest.raises(ConfigError, match="budget of 5 tokens of source 'a' keeps none of 2 documents"):
        quota(two, ratio=0.5, unit="tokens", shares="proportional")


def test_the_matched_control_has_the_tokens_of_its_base_stretch_by_stretch():
    kept = top_r(MANY, ratio=0.4, unit="documents")
    for seed in range(5):
        found = matched_rows(MANY, kept, 8, "tokens", seed)
        assert 0 <= MANY.num_tokens[kept].sum() - MANY.num_tokens[found].sum() < 40
        assert MANY.goodness[found].min() >= np.sort(MANY.goodness)[200]  # three of eight stretches and a part of one
