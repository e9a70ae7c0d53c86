"""A saturating curve is found again from its own points, and is the least-squares one."""

import numpy as np
import pytest

from delt_exp.statistics.saturating import EXPONENTS, Saturating, fit_saturating

SIZES = np.array([1.0, 2.0, 5.0, 10.0, 50.0])


@pytest.mark.parametrize("exponent", [EXPONENTS[20], EXPONENTS[60], EXPONENTS[100]])
def test_a_curve_is_found_again(exponent):
    curve = Saturating(0.7, 0.2, float(exponent))
    assert fit_saturating(SIZES, curve(SIZES)) == pytest.approx(curve, rel=1e-6)


def test_a_curve_by_hand():
    """1 - 0.5 / n at n = 1, 2, 4 is 0.5, 0.75, 0.875."""
    assert Saturating(1.0, 0.5, 1.0)(np.array([1.0, 2.0, 4.0])).tolist() == [0.5, 0.75, 0.875]


def test_no_nearby_curve_fits_noisy_points_better():
    values = np.array([0.51, 0.57, 0.58, 0.62, 0.61])
    found = fit_saturating(SIZES, values)
    error = np.square(found(SIZES) - values).sum()
    for change in (0.99, 1.01):
        for name in ("limit", "drop"):
            other = found._replace(**{name: getattr(found, name) * change})
            assert np.square(other(SIZES) - values).sum() > error


def test_points_without_a_bend_do_not_identify_a_curve():
    """A line over log n is the limit of small exponents, a step after the first point that of large ones."""
    assert fit_saturating(SIZES, 0.5 + 0.1 * SIZES**-1.0).is_identified
    assert not fit_saturating(SIZES, 0.5 + 0.1 * np.log(SIZES)).is_identified
    assert not fit_saturating(SIZES, np.where(SIZES > 1, 0.6, 0.5)).is_identified


def test_two_sizes_are_too_few():
    with pytest.raises(ValueError, match="points at three sizes, got 2"):
        fit_saturating(np.array([1.0, 1.0, 2.0]), np.zeros(3))
