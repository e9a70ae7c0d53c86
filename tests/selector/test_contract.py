"""What every selector promises; a new YAML in conf/selector is met here without a change."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.cli.help import options
from delt_exp.config.build import CONF, build
from delt_exp.config.identity import identity
from delt_exp.dataset.base import Document
from delt_exp.errors import ConfigError
from delt_exp.proxy.trained import TrainedProxy
from delt_exp.rows.candidates import Candidates
from delt_exp.selector.reading import Reading, ReadingSelector, needs_of, would_keep
from tests.contract import configured, settings_of
from tests.helpers import make_pool, tiny_recipe, words

ALL = options(CONF, "selector")
NAMES = [name for name in ALL if settings_of("selector", name).get("_partial_")]  # the others read documents
READING = sorted(set(ALL) - set(NAMES))
SEEDED = [name for name in NAMES if "seed" in settings_of("selector", name)]


@cache
def make_selector(name, seed=0):
    return build(configured("selector", name, Path(), f"seed={seed}").selector)


@st.composite
def tables(draw):
    """At least 10 documents, read-only, with ties and copies; more than half are at the lowest score."""
    num_high = draw(st.integers(3, 8))
    num_low = 2 * num_high + 1 + draw(st.integers(0, 20))
    ids = draw(
        st.lists(st.integers(0, 2**64 - 1), min_size=num_high + num_low, max_size=num_high + num_low, unique=True)
    )
    scores = draw(st.lists(st.integers(-3, 3), min_size=num_high, max_size=num_high)) + [-4] * num_low
    copies = draw(st.lists(st.integers(0, num_high - 1), max_size=num_high, unique=True))
    rows = np.array(draw(st.permutations([*range(len(ids)), *copies])))
    table = np.array(ids, dtype=np.uint64)[rows], np.array(scores, dtype=np.float32)[rows] / np.float32(4)
    for column in table:
        column.setflags(write=False)
    return table


def test_there_are_selectors_to_check():
    assert len(NAMES) >= 6
    assert len(READING) >= 1
    assert len(SEEDED) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@given(table=tables())
def test_kept_rows_are_distinct_and_in_corpus_order(name, table):
    kept = make_selector(name)(Candidates.ungrouped(*table))
    assert kept.dtype == np.intp
    assert len(kept) > 0
    assert kept[0] >= 0
    assert kept[-1] < len(table[0])
    assert (np.diff(kept) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@given(table=tables(), seed=st.integers(0, 2**32))
def test_the_same_documents_stay_whatever_the_order_of_the_rows(name, table, seed):
    ids, scores = table
    kept = ids[make_selector(name)(Candidates.ungrouped(ids, scores))]
    rows = np.random.default_rng(seed).permutation(len(ids))
    kept_of_permuted = ids[rows][make_selector(name)(Candidates.ungrouped(ids[rows], scores[rows]))]
    np.testing.assert_array_equal(np.sort(kept), np.sort(kept_of_permuted))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(NAMES) - set(SEEDED)))
@given(table=tables())
def test_without_chance_no_dropped_document_is_better_than_a_kept_one(name, table):
    scores = table[1]
    kept = make_selector(name)(Candidates.ungrouped(*table))
    dropped = np.delete(scores, kept)
    assert not len(dropped) or dropped.max() <= scores[kept].min()


@pytest.mark.parametrize("name", [name for name in NAMES if "scores" not in needs_of(make_selector(name))])
def test_one_that_says_it_reads_no_scores_keeps_the_same_whatever_they_are(name):
    ids, draws = np.arange(200, dtype=np.uint64), np.random.default_rng(0)
    scores = [draws.normal(size=200).astype(np.float32) for _ in range(3)]
    kept = {make_selector(name)(Candidates.ungrouped(ids, one)).tobytes() for one in scores}
    assert len(kept) == 1


@pytest.mark.parametrize("name", SEEDED)
def test_the_seed_decides_the_draw(name):
    ids, scores = np.arange(200, dtype=np.uint64), np.zeros(200, dtype=np.float32)
    kept = [make_selector(name, seed)(Candidates.ungrouped(ids, scores)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(kept[0], kept[1])
    assert len(kept[0]) == len(kept[2])
    assert (kept[0] != kept[2]).any()


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_corpus_is_a_config_error(name):
    with pytest.raises(ConfigError):
        make_selector(name)(Candidates.ungrouped(np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.float32)))


PAIRS = [Document(text, prompt="q: ", rejected=text[::-1] + " no") for text in words(15)]


@pytest.mark.slow
@pytest.mark.parametrize("name", READING)
def test_one_that_reads_documents_keeps_as_many_distinct_rows_in_corpus_order_as_it_said_twice_the_same(name, tmp_path):
    pool = make_pool(tmp_path, PAIRS, ["a b", "b a"] * 20)
    seen = pool.candidates.corpus.candidates(np.zeros(len(PAIRS), np.float32))
    selector = build(configured("selector", name, tmp_path).selector)
    assert isinstance(selector, ReadingSelector)

    def trained(documents, rows):
        return TrainedProxy(tiny_recipe(), "sample", 500, 0).prepare(pool.resources, pool.candidates, None)

    reading = Reading(pool.candidates, pool.target, pool.resources, seen, trained)
    selector.check(reading.candidates, reading.resources.run_tokenizer)
    kept, again = (selector.select(reading).rows for _ in range(2))
    np.testing.assert_array_equal(kept, again)
    assert len(kept) == len(would_keep(selector, seen))
    assert kept[0] >= 0
    assert kept[-1] < len(PAIRS)
    assert (np.diff(kept) > 0).all()
    assert isinstance(selector.forecast(pool.sizes, pool.resources), list)


@pytest.mark.parametrize("name", READING)
def test_the_identity_of_one_that_reads_documents_holds_its_version(name, tmp_path):
    assert identity(build(configured("selector", name, tmp_path).selector))["VERSION"] >= 1
