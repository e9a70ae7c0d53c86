"""What every orderer promises; a new YAML in conf/orderer is met here without a change."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.cli.help import options
from delt_exp.config.build import CONF, build
from delt_exp.rows.candidates import Candidates
from tests.contract import configured, own, settings_of

NAMES = options(CONF, "orderer")
SETTINGS = {name: settings_of("orderer", name) for name in NAMES}
READS_ROW_ORDER = {name for name in NAMES if own("orderer", name, "READS_ROW_ORDER", default=False)}


@cache
def make_orderer(name, *overrides, seed=0):
    return build(configured("orderer", name, Path(), f"seed={seed}", *overrides).orderer)


@st.composite
def tables(draw):
    """Any number of documents from 0, read-only, with ties and with copies (equal id and score)."""
    ids = draw(st.lists(st.integers(0, 2**64 - 1), max_size=40, unique=True))
    scores = draw(st.lists(st.integers(-3, 3), min_size=len(ids), max_size=len(ids)))
    copies = draw(st.lists(st.integers(0, len(ids) - 1), max_size=5)) if ids else []
    rows = np.array(draw(st.permutations([*range(len(ids)), *copies])), dtype=np.intp)
    table = np.array(ids, dtype=np.uint64)[rows], np.array(scores, dtype=np.float32)[rows]
    for column in table:
        column.setflags(write=False)
    return table


def assert_permutation(order, length):
    assert order.dtype == np.intp
    np.testing.assert_array_equal(np.sort(order), np.arange(length))


def test_there_are_orderers_to_check():
    assert len(NAMES) >= 9


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@given(table=tables())
def test_every_document_is_trained_once(name, table):
    assert_permutation(make_orderer(name)(Candidates.ungrouped(*table)), len(table[0]))


@pytest.mark.parametrize("length", [0, 1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_a_corpus_of_none_one_or_two_documents_is_ordered(name, length):
    assert_permutation(
        make_orderer(name)(Candidates.ungrouped(np.arange(length, dtype=np.uint64), np.zeros(length, np.float32))),
        length,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if "num_layers" in SETTINGS[name]])
@pytest.mark.parametrize("num_layers", [1, 4, 11, 12, 13, 1000])
def test_any_number_of_layers_gives_a_permutation(name, num_layers):
    ids, scores = np.arange(12, dtype=np.uint64), np.arange(12, dtype=np.float32)
    assert_permutation(make_orderer(name, f"orderer.num_layers={num_layers}")(Candidates.ungrouped(ids, scores)), 12)


@pytest.mark.parametrize("name", sorted(set(NAMES) - READS_ROW_ORDER))
@given(table=tables(), seed=st.integers(0, 2**32))
def test_the_sequence_of_documents_does_not_depend_on_the_order_of_the_rows(name, table, seed):
    ids, scores = table
    rows = np.random.default_rng(seed).permutation(len(ids))
    sequence = ids[make_orderer(name)(Candidates.ungrouped(ids, scores))]
    np.testing.assert_array_equal(
        sequence, ids[rows][make_orderer(name)(Candidates.ungrouped(ids[rows], scores[rows]))]
    )


@pytest.mark.parametrize("name", [name for name in NAMES if "seed" in SETTINGS[name]])
def test_the_seed_decides_the_order(name):
    ids, scores = np.arange(100, dtype=np.uint64), np.arange(100, dtype=np.float32)
    first, again, other = (make_orderer(name, seed=seed)(Candidates.ungrouped(ids, scores)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if "ascending" in SETTINGS[name]])
@given(table=tables())
def test_descending_is_ascending_on_negated_scores(name, table):
    ids, scores = table
    descending = make_orderer(name, "orderer.ascending=false")(Candidates.ungrouped(ids, scores))
    np.testing.assert_array_equal(descending, make_orderer(name)(Candidates.ungrouped(ids, -scores)))
