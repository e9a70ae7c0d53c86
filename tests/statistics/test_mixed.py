"""The mixed-effects line against analysis of variance, plain regression and statsmodels."""

import warnings

import numpy as np
import pytest
from scipy.stats import linregress

from delt_exp.statistics.mixed import fit_mixed
from tests.statistics.studies import grid_points, simulated_points


def test_a_balanced_study_has_the_variances_of_the_analysis_of_variance():
    # One x for each training corpus, the same in every evaluation set, and y a line plus an effect of the set (0, 3, 6,
    # 9, 12) plus rest +-1 that neither x nor set explains: 6 rows of x 0, 1, 2, 3, 4, 5.
    x = np.repeat(np.arange(6.0)[:, None], 5, axis=1)
    rest = np.outer([1, -1, 0, 0, -1, 1], [1, -1, 0, 1, -1])
    fit = fit_mixed(grid_points(x, 2 * x + np.arange(0, 15, 3) + rest), 0.05)
    # Rest: sum of squares 16. Training corpora differ by less than the rest, so their variance is 0 and their 4 degrees
    # of freedom (6 rows less the line) join the rest: 16 on 30 - 5 - 1 = 24. Sets: 6 * 90 / 4 = rest + 6 * variance.
    assert fit.converged
    assert fit.slope == pytest.approx(2)
    assert fit.sd_rest**2 == pytest.approx(2 / 3, rel=1e-4)
    assert fit.sd_by_factor["training corpus"] == 0
    assert fit.sd_by_factor["evaluation set"] ** 2 == pytest.approx((135 - 2 / 3) / 6, rel=1e-4)
    # 87.5 = sum of (x - mean)^2 over the 30 rows.
    assert fit.stderr == pytest.approx(np.sqrt(2 / 3 / 87.5), rel=1e-4)
    assert fit.df == 4


def test_without_effects_of_the_corpora_it_is_plain_regression():
    # Two orthogonal Latin squares: the rest has zero mean in every row and column and at every x.
    row, column = np.indices((5, 5))
    x = (row + column) % 5
    y = -x + np.array([2, -1, 0, 1, -2])[(row + 2 * column) % 5]
    fit, plain = fit_mixed(grid_points(x, y), 0.05), linregress(x.ravel(), y.ravel())
    assert fit.converged
    assert fit.sd_by_factor == {"evaluation set": 0, "training corpus": 0}
    assert (fit.slope, fit.stderr) == pytest.approx((plain.slope, plain.stderr))


def test_few_levels_have_fixed_intercepts_worked_by_hand():
    # Around the means of two sets, 100 apart in y and 10 in x: x -1, 0, 1 in both, y -2, 0, 2 and -1, -2, 3; those of
    # the three corpora, fixed too, take out all of x and y but the part that differs between the sets: x none.
    x, y = np.array([[0, 10], [1, 11], [2, 12]]), np.array([[0, 102], [2, 101], [4, 106]])
    assert fit_mixed(grid_points(x, y), 0.05) is None
    x[:, 1] = [
        12,
        11,
        10,
    ]  # now half the difference of the sets: x -1, 0, 1; y -1/2, 1, -1/2 (set 0 less set 1, halved)
    fit = fit_mixed(grid_points(x, y), 0.05)
    # Slope -1/2 * -1 + 1/2 * -1 = 0 on twice two squares; rest 2 * 1.5 on 6 - 2 - 3 = 1 degrees of freedom.
    assert (fit.slope, fit.df, fit.sd_by_factor) == (pytest.approx(0), 1, {})
    assert fit.stderr == pytest.approx(np.sqrt(3 / 4))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(13, 2), (8, 4), (14, 7)])
@pytest.mark.parametrize("set_sds", [(0.01, 0.1), (0.15, 3.0)], ids=["weak sets", "strong sets"])
def test_the_interval_covers_the_slope_at_the_sizes_of_studies(shape, set_sds):
    random, covers = np.random.default_rng(6), []
    for _ in range(200 if shape != (14, 7) else 100):
        fit = fit_mixed(simulated_points(random, -10.0, *shape, set_sds=set_sds), 0.05)
        covers.append(fit.low <= -10 <= fit.high)
    # Dropping the two sets of 13 x 2 as a factor covers 0.18 with strong sets. Monte-Carlo error 0.015, 0.022.
    assert np.mean(covers) > 0.90


@pytest.mark.parametrize("seed", range(4))
def test_it_equals_statsmodels_where_that_converges(seed):
    mixed_linear_model = pytest.importorskip("statsmodels.regression.mixed_linear_model")
    points = simulated_points(np.random.default_rng(seed), -10.0)
    onehots = [(labels[:, None] == np.unique(labels)).astype(float) for labels in (points.evaluation_N, points.train_N)]
    names = [[str(level) for level in range(7)]]
    parts = mixed_linear_model.VCSpec(["e", "t"], [names] * 2, [[hot] for hot in onehots])
    design = np.column_stack([np.ones(49), (points.x_N - 0.5) * 10])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = mixed_linear_model.MixedLM(points.y_N, design, np.ones(49), exog_vc=parts).fit()
    ours = fit_mixed(points, 0.05)
    assert theirs.converged
    assert ours.slope == pytest.approx(10 * theirs.fe_params[1], rel=1e-3)
    sds = [ours.sd_by_factor["evaluation set"], ours.sd_by_factor["training corpus"], ours.sd_rest]
    assert sds == pytest.approx(np.sqrt([*theirs.vcomp, theirs.scale]), rel=1e-2)


def test_a_factor_that_is_not_identifiable_is_left_out():
    random = np.random.default_rng(0)
    two = fit_mixed(grid_points(random.normal(size=(2, 6)), random.normal(size=(2, 6))), 0.05)
    assert list(two.sd_by_factor) == ["evaluation set"]
    assert fit_mixed(grid_points(random.normal(size=(6, 1)), random.normal(size=(6, 1))), 0.05) is None
