"""Checks of single settings; each raises a ConfigError that names the setting, its value and what is allowed."""

from numbers import Integral, Real
from typing import Any

from delt_exp.errors import ConfigError


def check_number(name: str, value: Any, interval: str) -> None:
    """Raise unless `value` lies in `interval`, written as in mathematics: "(0, 1]" excludes 0 and includes 1."""
    low, high = (float(end) for end in interval[1:-1].split(","))
    number = isinstance(value, Real) and not isinstance(value, bool)
    above = number and (low <= value if interval[0] == "[" else low < value)
    below = number and (value <= high if interval[-1] == "]" else value < high)
    if not (above and below):
        raise ConfigError(f"{name}={value!r} is not allowed; set {name} to a number in {interval}")


def check_integer(name: str, value: Any, *, at_least: int) -> None:
    """Raise unless `value` is a whole number of at least `at_least`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < at_least:
        raise ConfigError(f"{name}={value!r} is not allowed; set {name} to a whole number of at least {at_least}")


def check_flag(name: str, value: Any) -> None:
    """Raise unless `value` is true or false; a text such as "no" would count as true."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name}={value!r} is not allowed; set {name} to true or false")


def check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raise unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ConfigError(f"{name}={value!r} is not allowed; set {name} to one of: {', '.join(allowed)}")
