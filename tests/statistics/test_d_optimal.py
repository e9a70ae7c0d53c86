"""Greedy D-optimal picks: known answers by hand, the inverse of V as a slow reference, golden values, bad inputs."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delt_exp.errors import ConfigError, DataError
from delt_exp.statistics.d_optimal import greedy_d_optimal

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "gradient" / "activedpo" / "golden.json"


def by_inverse(features_NK, ridge, known_MK):
    """||phi||_{V^-1} of every candidate by the definition: V formed and inverted."""
    v_KK = ridge * np.eye(features_NK.shape[1]) + known_MK.T @ known_MK
    return np.sqrt(np.einsum("nk,kj,nj->n", features_NK, np.linalg.inv(v_KK), features_NK))


def test_the_worked_example_of_three_directions():
    rows, scores = greedy_d_optimal(np.array([[2, 0], [0, 1.5], [1.8, 0]]), 3, ridge=1.0)
    assert rows.tolist() == [0, 1, 2]
    np.testing.assert_allclose(scores, [2, 1.5, 1.8 / np.sqrt(5)], rtol=1e-14)


def test_after_its_pick_a_copy_scores_s_over_root_one_plus_s_squared():
    for s in (0.1, 1.0, 30.0):
        _, scores = greedy_d_optimal(np.array([[s, 0.0], [s, 0.0]]), 2, ridge=1.0)
        np.testing.assert_allclose(scores, [s, s / np.sqrt(1 + s * s)], rtol=1e-12)


def test_orthogonal_unit_candidates_come_before_any_copy_and_ties_go_to_the_smaller_row():
    features = np.eye(4)[[0, 0, 1, 1, 2, 3, 3]]
    assert greedy_d_optimal(features, 7, ridge=0.5)[0].tolist() == [0, 2, 4, 5, 1, 3, 6]


def test_candidates_without_a_difference_score_0_and_are_picked_last():
    features = np.array([[0.0, 0.0], [1, 0], [0, 0], [1, 1e-3]])
    rows, scores = greedy_d_optimal(features, 4, ridge=1.0)
    assert rows.tolist() == [3, 1, 0, 2]
    assert scores[2:].tolist() == [0, 0]


@st.composite
def designs(draw):
    """Features of few or many dimensions with copies and zeros, and labelled rows."""
    num_candidates, num_features = draw(st.integers(1, 60)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    features = rng.standard_normal((num_candidates, num_features)) * 10.0 ** draw(st.integers(-2, 2))
    features[rng.random(num_candidates) < 0.1] = 0
    copies = rng.random(num_candidates) < 0.2
    features[copies] = features[rng.integers(num_candidates, size=copies.sum())]
    features[0, 0] += 1.0
    labelled = rng.standard_normal((draw(st.integers(0, 6)), num_features))
    return features, draw(st.integers(1, num_candidates)), 10.0 ** draw(st.integers(-2, 1)), labelled


@pytest.mark.slow
@settings(max_examples=200)
@given(designs())
def test_every_pick_is_the_best_by_the_inverse_and_has_its_score(design):
    features, count, ridge, labelled = design
    rows, scores = greedy_d_optimal(features, count, ridge=ridge, labelled_MK=labelled)
    assert len(set(rows.tolist())) == count
    for step, (row, score) in enumerate(zip(rows, scores, strict=True)):
        expected_N = by_inverse(features, ridge, np.concatenate([labelled, features[rows[:step]]]))
        is_open_N = ~np.isin(np.arange(len(features)), rows[:step])
        assert score == pytest.approx(expected_N[row], rel=1e-6, abs=1e-6)
        assert expected_N[is_open_N].max() <= expected_N[row] * (1 + 1e-6) + 1e-6
        equal = np.flatnonzero(is_open_N & (features == features[row]).all(1))
        assert row == equal[0]


@pytest.mark.slow
@given(designs())
def test_the_gain_in_log_det_never_rises(design):
    features, count, ridge, labelled = design
    _, scores = greedy_d_optimal(features, count, ridge=ridge, labelled_MK=labelled)
    gains = np.log1p(scores**2)
    assert (np.diff(gains) <= 1e-9 * (1 + gains[:-1])).all()


def test_picking_in_two_rounds_equals_picking_in_one():
    features = np.random.default_rng(0).standard_normal((300, 40))
    rows, scores = greedy_d_optimal(features, 60, ridge=0.1)
    left = np.delete(np.arange(300), rows[:25])
    later, later_scores = greedy_d_optimal(features[left], 35, ridge=0.1, labelled_MK=features[rows[:25]])
    np.testing.assert_array_equal(left[later], rows[25:])
    np.testing.assert_allclose(later_scores, scores[25:], rtol=1e-10)


def test_vectors_of_length_1_tie_whatever_rounding_has_made_of_their_lengths():
    features = np.random.default_rng(2).standard_normal((200, 50))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    assert greedy_d_optimal(features, 1, ridge=1.0)[0] == [0]
    assert greedy_d_optimal(features.astype(np.float32), 1, ridge=1.0, rounding=1e-6)[0] == [0]
    assert greedy_d_optimal(features.astype(np.float32), 1, ridge=1.0)[0] != [0]


def test_float32_features_are_picked_from_as_their_float64_copies_are():
    features = np.random.default_rng(1).standard_normal((500, 64), dtype=np.float32)
    single, double = (greedy_d_optimal(f, 100, ridge=0.01) for f in (features, features.astype(np.float64)))
    np.testing.assert_array_equal(single[0], double[0])
    np.testing.assert_array_equal(single[1], double[1])


@pytest.mark.skipif(not GOLDEN.exists(), reason="the folder of golden values is not beside the checkout")
@pytest.mark.parametrize("number", range(12))
def test_golden_picks_exactly_and_their_scores(number):
    golden = json.loads(GOLDEN.read_text())
    run = golden["runs"][number]
    first, second = (np.array(golden[f"{name}_response_gradient"]) for name in ("first", "second"))
    labelled = np.array(golden["labelled_before"]) if run["before"] != "none" else None
    features = {
        "normalise_each_response": _unit(first) - _unit(second),
        "normalise_difference": _unit(first - second),
        "raw": first - second,
    }[run["features"]]
    rows, scores = greedy_d_optimal(features, len(run["picks"]), ridge=run["ridge"], labelled_MK=labelled)
    assert rows.tolist() == run["picks"]
    np.testing.assert_allclose(scores, run["score_when_picked"], atol=1e-6)
    np.testing.assert_allclose(np.log1p(scores**2), np.diff(run["log_det"]), atol=1e-6)


def _unit(rows):
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


@pytest.mark.parametrize("ridge", [0, -1.0, float("nan"), float("inf"), "1"])
def test_a_ridge_that_is_not_above_0_is_refused(ridge):
    with pytest.raises(ConfigError, match=r"ridge=.*\(0, inf\)"):
        greedy_d_optimal(np.ones((2, 2)), 1, ridge=ridge)


def test_more_picks_than_candidates_are_refused():
    with pytest.raises(ConfigError, match="4 picks of 3 candidates; pick at most 3"):
        greedy_d_optimal(np.ones((3, 2)), 4, ridge=1.0)


@pytest.mark.parametrize("count", [0, -1, 1.5])
def test_a_count_that_is_not_a_whole_number_of_at_least_1_is_refused(count):
    with pytest.raises(ConfigError, match=r"count=.*whole number"):
        greedy_d_optimal(np.ones((3, 2)), count, ridge=1.0)


def test_candidates_that_are_all_0_are_refused():
    with pytest.raises(DataError, match="all 3 candidates are 0"):
        greedy_d_optimal(np.zeros((3, 2)), 1, ridge=1.0)


def test_features_of_unequal_length_are_refused():
    with pytest.raises(DataError, match=r"\[3, 2\].*\[1, 4\].*one length"):
        greedy_d_optimal(np.ones((3, 2)), 1, ridge=1.0, labelled_MK=np.ones((1, 4)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused_by_their_row(bad):
    features, labelled = np.ones((40, 2)), np.ones((2, 2))
    features[35, 1] = bad
    with pytest.raises(DataError, match=r"candidate 35 .*not finite"):
        greedy_d_optimal(features, 1, ridge=1.0)
    labelled[1, 0] = bad
    with pytest.raises(DataError, match=r"labelled row 1 .*not finite"):
        greedy_d_optimal(np.ones((3, 2)), 1, ridge=1.0, labelled_MK=labelled)
