"""Numbers are rounded to what is known about them."""

import math

import pytest

from delt_exp.report import numbers


@pytest.mark.parametrize(
    ("number", "stderr", "text"),
    [
        (3.2145678, 0.0213456, "3.215 ± 0.021"),
        (25.04, 12.3, "25 ± 12"),
        (1234.5, 0.96, "1,234.50 ± 0.96"),
        (0.5, 0.0, "0.500 ± 0.000"),
        (3.2145678, None, "3.215"),
        (7.7, None, "7.700"),
        (0.0, None, "0"),
        (-123.0, None, "-123"),
        (1234567.8, None, "1,234,568"),
    ],
)
def test_a_standard_error_has_two_digits_and_decides_those_of_its_value(number, stderr, text):
    assert numbers.value(number, stderr).replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (0.25, "0.2500"),
        (12, "12"),
        (True, "yes"),
        ("a", "a"),
        (None, ""),
        (math.nan, ""),
        (-math.inf, "-inf"),
    ],
)
def test_a_cell_shows_whatever_a_scorer_left(content, text):
    assert numbers.cell(content) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (950, "950"),
        (0.25, "0.25"),
        (999.9, "1 k"),
        (12_345, "12.3 k"),
        (1_574_016, "1.57 M"),
        (2.5e12, "2,500 B"),
    ],
)
def test_large_numbers_have_three_digits(number, text):
    assert numbers.compact(number) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 9, "0 %"),
        (1, 3, "33.3 %"),
        (2, 25, "8 %"),
        (1, 10**6, "< 0.1 %"),
        (999_999, 10**6, "> 99.9 %"),
        (5, 5, "100 %"),
    ],
)
def test_a_share_says_none_and_all_only_when_it_is_so(part, whole, text):
    assert numbers.share(part, whole) == text


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0.004, "< 0.01 s"),
        (0.42, "0.42 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185.4, "3 min 05 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations_use_the_unit_that_keeps_them_short(duration, text):
    assert numbers.seconds(duration) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (812, "812 B"), (1500, "1.5 kB"), (1_234_000, "1.23 MB"), (999_900, "1 MB"), (3.4e9, "3.4 GB")],
)
def test_sizes_are_decimal(size, text):
    assert numbers.size(size) == text
