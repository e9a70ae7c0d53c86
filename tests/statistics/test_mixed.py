"""The mixed-effects line against analysis of variance, plain regression and statsmodels."""

import warnings

import numpy as np
import pytest
from scipy.stats import linregress

from delt_exp.statistics.mixed import fit_mixed
from tests.statistics.studies import grid_points, simulated_points


def test_a_balanced_study_has_the_variances_of_the_analysis_of_variance():
    # One x for each training corpus, the same in every evaluation set, and y a line plus an effect of the set (0, 3, 6)
    # plus rest +-1 that neither x nor set explains: 4 rows of x 0, 1, 2, 3.
    x = np.repeat(np.arange(4.0)[:, None], 3, axis=1)
    rest = np.array([[1, -1, 0], [-1, 1, 0], [-1, 1, 0], [1, -1, 0]])
    fit = fit_mixed(grid_points(x, 2 * x + np.array([0, 3, 6]) + rest), 0.05)
    # Rest: sum of squares 8. Training corpora differ by less than the rest, so their variance is 0 and their 2 degrees
    # of freedom (4 rows less the line) join the rest: 8 on 12 - 3 - 1 = 8. Sets: 4 * 9 = 36 = rest + 4 * variance.
    assert fit.converged
    assert fit.slope == pytest.approx(2)
    assert fit.sd_rest**2 == pytest.approx(1, rel=1e-4)
    assert fit.sd_by_factor["training corpus"] == 0
    assert fit.sd_by_factor["evaluation set"] ** 2 == pytest.approx((36 - 1) / 4, rel=1e-4)
    # 15 = sum of (x - mean)^2 over the 12 rows.
    assert fit.stderr == pytest.approx(np.sqrt(1 / 15), rel=1e-4)
    assert fit.df == 2


def test_without_effects_of_the_corpora_it_is_plain_regression():
    # Zero-mean rest in every row and column, orthogonal to x: both variances come out 0.
    x = np.array([[0, 1, 2], [1, 2, 0], [2, 0, 1.0]])
    y = -x + np.array([[0, 1, -1], [-1, 0, 1], [1, -1, 0]])
    fit, plain = fit_mixed(grid_points(x, y), 0.05), linregress(x.ravel(), y.ravel())
    assert fit.converged
    assert fit.sd_by_factor == {"evaluation set": 0, "training corpus": 0}
    assert (fit.slope, fit.stderr) == pytest.approx((plain.slope, plain.stderr))


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
