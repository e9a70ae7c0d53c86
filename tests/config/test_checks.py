"""Settings out of range are refused with their name, value and what is allowed."""

import numpy as np
import pytest

from delt_exp.config.checks import check_choice, check_flag, check_integer, check_number
from delt_exp.errors import ConfigError


@pytest.mark.parametrize("value", [1, 0.5, 1e-9, np.float32(0.5)])
def test_numbers_inside_a_half_open_interval_pass(value):
    check_number("selector.ratio", value, "(0, 1]")


@pytest.mark.parametrize("value", [0, -0.1, 1.0000001, float("nan"), float("inf"), "0.5", None, True])
def test_numbers_outside_a_half_open_interval_are_refused(value):
    with pytest.raises(ConfigError, match=r"selector\.ratio=.*set selector\.ratio to a number in \(0, 1\]"):
        check_number("selector.ratio", value, "(0, 1]")


def test_the_bracket_decides_whether_an_end_belongs_to_the_interval():
    check_number("x", 0, "[0, 1)")
    with pytest.raises(ConfigError, match="x=1 "):
        check_number("x", 1, "[0, 1)")


def test_infinity_is_no_number_in_an_unbounded_interval():
    with pytest.raises(ConfigError, match="x=inf "):
        check_number("x", float("inf"), "(0, inf)")


def test_whole_numbers_pass_and_anything_else_is_refused():
    check_integer("k", 1, at_least=1)
    check_integer("k", np.int64(7), at_least=1)
    for value in (0, -3, 2.0, 2.5, "3", None, True):
        with pytest.raises(ConfigError, match=r"k=.*whole number of at least 1"):
            check_integer("k", value, at_least=1)


def test_a_flag_is_true_or_false_and_not_a_text():
    check_flag("ascending", False)
    for value in ("no", 0, None):
        with pytest.raises(ConfigError, match=r"ascending=.*true or false"):
            check_flag("ascending", value)


def test_a_choice_outside_the_list_is_refused_with_the_list():
    check_choice("end", "low", ("low", "high"))
    with pytest.raises(ConfigError, match=r"end='middle'.*one of: low, high"):
        check_choice("end", "middle", ("low", "high"))
