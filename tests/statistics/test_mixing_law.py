"""Mixing laws recover planted coefficients, their intervals cover them, and the proposed mixture is the lowest."""

import numpy as np
import pytest
from scipy.special import logsumexp

from delt_exp.errors import ConfigError, DataError
from delt_exp.statistics.mixing_law import (
    MixingLaw,
    bootstrap_laws,
    check_runs,
    fit_law,
    held_out_predictions,
    lowest,
)

NATURAL = np.array([0.5, 0.3, 0.15, 0.05])
PLANTED = (MixingLaw(2.0, np.array([0.5, 0.9, 1.2, -0.3])), MixingLaw(1.5, np.array([1.0, -0.2, 0.8, 1.0])))
EVEN = np.array([0.5, 0.5])


def planted_runs(num_runs, noise, seed):
    rng = np.random.default_rng(seed)
    shares_RG = np.array([rng.dirichlet(NATURAL * c) for c in np.exp(rng.uniform(0, np.log(16), num_runs))])
    losses_RS = np.array([law.predict(shares_RG) for law in PLANTED]).T
    return shares_RG, losses_RS + noise * rng.normal(size=losses_RS.shape)


def test_a_law_by_hand():
    law = MixingLaw(1.0, np.log([2.0, 8.0]))
    np.testing.assert_allclose(law.predict(np.array([[1, 0], [0.5, 0.5], [0, 1]])), [3, 5, 9])
    np.testing.assert_allclose(law.effects(np.array([0.5, 0.5])), [-np.log(2), np.log(2)])


def test_planted_laws_are_recovered_without_noise():
    shares_RG, losses_RS = planted_runs(12, 0.0, 0)
    for planted, losses_R in zip(PLANTED, losses_RS.T, strict=True):
        found = fit_law(shares_RG, losses_R)
        assert found.floor == pytest.approx(planted.floor, abs=1e-4)
        np.testing.assert_allclose(found.rates_G, planted.rates_G, atol=1e-4)


def test_the_floor_of_a_law_stays_at_or_above_0():
    shares_RG, _ = planted_runs(20, 0.0, 1)
    assert fit_law(shares_RG, 2 + shares_RG @ np.array([1.0, 0.5, -0.5, 0.2])).floor >= 0


@pytest.mark.slow
def test_intervals_cover_planted_effects():
    # 48 intervals of 95 %, of which few bootstraps cut a little off; half the right width would cover two thirds.
    covered, truth = [], PLANTED[0].effects(NATURAL)
    for seed in range(12):
        shares_RG, losses_RS = planted_runs(24, 0.05, seed)
        drawn = bootstrap_laws(shares_RG, losses_RS[:, :1], [fit_law(shares_RG, losses_RS[:, 0])], 24, seed)
        low, high = np.quantile([law.effects(NATURAL) for (law,) in drawn], [0.025, 0.975], axis=0)
        covered += ((low <= truth) & (truth <= high)).tolist()
    assert np.mean(covered) > 0.8


def test_intervals_narrow_with_more_runs():
    widths = []
    for num_runs in (16, 200):
        shares_RG, losses_RS = planted_runs(num_runs, 0.05, 0)
        drawn = bootstrap_laws(shares_RG, losses_RS[:, :1], [fit_law(shares_RG, losses_RS[:, 0])], 30, 0)
        widths.append(np.std([law.effects(NATURAL) for (law,) in drawn], axis=0).mean())
    assert widths[1] < widths[0] / 3


@pytest.mark.filterwarnings("error")
def test_a_set_of_weight_0_decides_nothing():
    np.testing.assert_allclose(lowest(PLANTED, np.array([1.0, 0.0])), lowest(PLANTED[:1], np.ones(1)), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.3, 3, 30, 140])
@pytest.mark.parametrize(("num_sources", "num_sets"), [(4, 4), (17, 13), (3, 8)])
def test_no_mixture_is_lower_whatever_the_size_of_the_rates(spread, num_sources, num_sets):
    """Published tables have rates from -484 to 149, where a sum of exponentials is flat nearly everywhere."""
    draws = np.random.default_rng(0)
    weights, caps = draws.random(num_sets) + 0.1, draws.uniform(1.2 / num_sources, 1, num_sources)
    for _ in range(5):
        rates = draws.normal(0, spread, (num_sets, num_sources))
        laws = [MixingLaw(1.0, row) for row in rates]
        for limits in (None, caps):
            found = lowest(laws, weights, limits)
            most = np.ones(num_sources) if limits is None else limits
            assert found.sum() == pytest.approx(1)
            assert ((found >= 0) & (found <= most + 1e-9)).all()
            others = found + draws.choice([0.001, 0.03, 0.5], (2000, 1)) * (
                draws.dirichlet(np.full(num_sources, 0.3), 2000) - found
            )
            others = others[(others <= most).all(1)]
            lowest_log = logsumexp(np.log(weights) + rates @ found)
            assert logsumexp(np.log(weights) + others @ rates.T, axis=1).min(initial=np.inf) >= lowest_log - 1e-3


def test_the_lowest_mixture_is_that_of_a_fine_grid():
    grid = np.array([[i, j, 200 - i - j] for i in range(201) for j in range(201 - i)]) / 200
    laws = [MixingLaw(1.0, np.array([-1.0, 0.5, 0.2])), MixingLaw(2.0, np.array([0.8, -0.9, 0.1]))]
    weights = np.array([0.6, 0.4])
    losses = sum(w * law.predict(grid) for w, law in zip(weights, laws, strict=True))
    np.testing.assert_allclose(lowest(laws, weights), grid[np.argmin(losses)], atol=0.005)


def test_one_set_is_served_by_its_best_source_up_to_its_cap():
    law = [MixingLaw(0.0, np.array([0.0, -1.0, -0.5]))]
    np.testing.assert_allclose(lowest(law, np.ones(1)), [0, 1, 0], atol=1e-9)
    np.testing.assert_allclose(lowest(law, np.ones(1), np.array([1, 0.3, 0.4])), [0.3, 0.3, 0.4], atol=1e-6)


def test_caps_that_leave_one_mixture_are_it_although_they_sum_to_a_little_less_than_1():
    caps = np.array([0.1, 0.2, 0.3, 0.4]) * (1 - 1e-15)
    np.testing.assert_allclose(lowest(PLANTED, EVEN, caps), [0.1, 0.2, 0.3, 0.4], atol=1e-6)


def test_caps_that_leave_no_mixture_are_refused():
    with pytest.raises(ConfigError, match=r"sum to 0.7, less than 1"):
        lowest(PLANTED, EVEN, np.array([0.1, 0.2, 0.2, 0.2]))


def test_predictions_of_runs_left_out_follow_planted_losses():
    shares_RG, losses_RS = planted_runs(40, 0.01, 0)
    errors = held_out_predictions(shares_RG, losses_RS[:, 0]) - losses_RS[:, 0]
    assert np.sqrt(np.mean(errors**2)) < 0.02 < losses_RS[:, 0].std()


def test_losses_paired_at_random_with_mixtures_are_not_predicted():
    shares_RG, losses_RS = planted_runs(40, 0.01, 0)
    permuted = np.random.default_rng(1).permutation(losses_RS[:, 0])
    assert np.corrcoef(held_out_predictions(shares_RG, permuted), permuted)[0, 1] < 0.4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:5], y[:5]), "5 runs cannot determine the 5 parameters"),
        (lambda x, y: (x, y[:-1]), "12 mixtures and 11 rows"),
        (lambda x, y: (2 * x, y), "sum to 2"),
        (lambda x, y: (x, y - 10), "the law is one of losses above 0"),
        (lambda x, y: (x * np.nan, y), "shares"),
        (lambda x, y: (np.column_stack([x[:, :3].sum(1), 0 * x[:, :2], x[:, 3]]), y), "no run has any of 'b'"),
        (lambda x, y: (np.column_stack([x[:, 0], x[:, 1:].sum(1) / 3, x[:, 1:].sum(1) / 3, x[:, 1:].sum(1) / 3]), y),
         "fewer dimensions"),
    ],
)  # fmt: skip
def test_runs_that_fit_no_law_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        check_runs(*change(*planted_runs(12, 0.01, 0)), "abcd")
