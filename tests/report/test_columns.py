"""Numbers of one column have equally many decimals, and say no more than their intervals."""

import math

import pytest

from delt_exp.quantity import Ranged
from delt_exp.report.columns import column_texts
from delt_exp.report.findings import Difference


@pytest.mark.parametrize(
    ("cells", "texts"),
    [
        ([1234567, 3], ["1,234,567", "3"]),
        ([0.5, 12.345, 0.00001], ["0.500", "12.345", "< 0.001"]),
        ([10.0, 12000.0, None], ["10", "12,000", ""]),
        ([6e-7, 5e-6], ["6.00e-07", "5.00e-06"]),
        ([-0.0001, 0.25, 0.75, "not measured"], ["0.000", "0.250", "0.750", "not measured"]),
        ([math.inf, math.nan, 0.5], ["∞", "nan", "0.500"]),
    ],
)
def test_numbers_without_an_interval_have_three_digits_of_the_middle_one(cells, texts):
    assert [text.joined for text in column_texts(cells)] == texts


def test_numbers_have_two_digits_of_the_middle_interval():
    cells = [Ranged(5.01234, 4.9, 5.12), Ranged(0.5, 0.2, 0.8), Ranged(123.456, 123.3, 123.6)]
    assert [text.joined for text in column_texts(cells)] == [
        "5.01 [4.90, 5.12]", "0.50 [0.20, 0.80]", "123.46 [123.30, 123.60]",
    ]  # fmt: skip


def test_a_difference_shows_its_sign_unless_it_rounds_to_nothing():
    cells = [Difference(x, x - 0.02, x + 0.02, "lower", "not distinguishable") for x in (0.05, -0.05, -0.0001)]
    assert [text.value for text in column_texts(cells)] == ["+0.050", "-0.050", "0.000"]
