"""The sequence that is trained has the shares of a mixture, in every prefix; repetitions stay inside their limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.errors import ConfigError
from delt_exp.mixture.mixed import mixed
from delt_exp.mixture.none import none
from delt_exp.mixture.sources import Sources, interleaved
from delt_exp.mixture.uniform import uniform
from delt_exp.mixture.unimax import unimax
from delt_exp.rows.candidates import Candidates
from delt_exp.trainer.planning import PlanSettings


def positions(groups, tokens, shares, budget_tokens):
    return interleaved(
        np.array(groups), np.array(tokens, np.int64), np.array(shares, np.float64), budget_tokens
    ).tolist()  # fmt: skip


def test_shares_of_three_to_one_by_hand():
    # Source 0 holds positions 0-3, source 1 positions 4 and 5; all of 10 tokens, and 40 are to be trained.
    # tokens/share before each draw: 0,0 | 13.3,0 | 13.3,40 | 26.7,40 -> 0, 4, 1, 2; then both have their 30 and 10.
    assert positions([0, 0, 0, 0, 1, 1], [10] * 6, [0.75, 0.25], 40) == [0, 4, 1, 2]


def test_a_small_source_repeats_in_its_order():
    chosen = positions([0, 0, 0, 0, 1, 1], [10] * 6, [0.25, 0.75], 80)
    assert [one for one in chosen if one > 3] == [4, 5, 4, 5, 4, 5]
    assert [one for one in chosen if one <= 3] == [0, 1]


def test_a_source_of_share_0_is_not_trained():
    assert positions([0, 1, 0], [5, 5, 5], [1, 0], 10) == [0, 2]


@pytest.mark.slow
@given(data=st.data())
def test_every_prefix_has_its_shares_within_one_document_of_each_source(data):
    groups = data.draw(st.lists(st.integers(0, 2), min_size=6, max_size=30).filter(lambda g: len(set(g)) == 3))
    tokens = data.draw(st.lists(st.integers(1, 50), min_size=len(groups), max_size=len(groups)))
    shares = np.array(data.draw(st.lists(st.floats(0.05, 1), min_size=3, max_size=3)))
    shares /= shares.sum()
    chosen = positions(groups, tokens, shares, 500)
    amounts, last = np.zeros(3), np.zeros(3)
    for position in chosen:
        amounts[groups[position]] += tokens[position]
        last[groups[position]] = tokens[position]
        ahead = np.subtract.outer(amounts / shares, amounts / shares)
        assert (ahead <= (last / shares)[:, None] + 1e-6).all()
    assert (amounts >= 500 * shares - 1e-6).all()


def test_unimax_reads_no_document_more_often_than_allowed():
    tokens = np.array([7, 11, 13, 100, 200, 300, 1000, 1000])
    groups = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    sources = Sources("abc", np.bincount(groups, tokens).astype(np.int64), 3000)
    for max_epochs in (2, 3, 7):
        chosen = interleaved(groups, tokens, unimax(sources, max_epochs=max_epochs), 3000)
        assert np.bincount(chosen).max() <= max_epochs


class Texts:
    """Tokens of documents of these lengths, all of which are predicted."""

    def __init__(self, lengths):
        self.offsets = np.concatenate([[0], np.cumsum(lengths)])

    def predicted_before(self, positions, *, completion_only):
        return positions


def candidates(groups, names=("a", "b")):
    return Candidates(
        np.arange(len(groups), dtype=np.uint64), np.zeros(len(groups), np.float32), np.array(groups), names
    )


def settings(**changes):
    return PlanSettings(**{"layout": "packed", "epochs": None, "max_tokens": 40, "completion_only": False, **changes})


def test_no_mixture_gives_the_order_and_the_settings_themselves():
    order, training = np.array([2, 0, 1]), settings()
    found = mixed(none, candidates([0, 0, 1]), Texts([9, 9, 9]), order, training)
    assert found.rows_P is order
    assert found.order is order
    assert found.training is training
    assert found.shares_G is None


def test_the_orderer_decides_inside_each_source_and_what_is_not_reached_comes_last():
    order = np.array([3, 1, 0, 2, 4])  # sources: b, a, a, b, b
    found = mixed(uniform, candidates([0, 0, 1, 1, 1]), Texts([9] * 5), order, settings(max_tokens=40))
    assert found.rows_P.tolist() == [1, 3, 0, 2]
    assert found.order.tolist() == [1, 3, 0, 2, 4]


def test_epochs_of_everything_are_the_budget_and_are_trained_once():
    # 2 epochs of 5 documents of 10 tokens, end of text included: 50 tokens of each source.
    found = mixed(
        uniform, candidates([0, 1, 1, 1, 1]), Texts([9] * 5), np.arange(5), settings(max_tokens=None, epochs=2)
    )
    assert found.rows_P.tolist().count(0) == 5
    assert found.training.epochs == 1


def test_one_source_is_nothing_to_mix():
    with pytest.raises(ConfigError, match=r"have 1 source \(b\)"):
        mixed(uniform, candidates([1, 1]), Texts([9, 9]), np.arange(2), settings())
