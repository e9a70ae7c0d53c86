"""Settings unlike their types are refused with their name, value and what is allowed; the others stay as they are."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import pytest
from annotated_types import Ge, Len

from delt_exp.config.fields import (
    Count,
    HalfOpenShare,
    NonNegativeFloat,
    PositiveFloat,
    PositiveShare,
    Seed,
    check_value,
    checked,
    settings,
)  # fmt: skip
from delt_exp.config.identity import identity
from delt_exp.errors import ConfigError


class Part(Protocol):
    size: int


@settings
class Base:
    seed: Seed
    ratio: PositiveShare


@settings
class Example(Base):
    part: Part
    unit: Literal["bytes", "tokens"]
    betas: Annotated[Sequence[HalfOpenShare], Len(2, 2)]
    limit: Count | None
    weights: Mapping[str, NonNegativeFloat] | None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < self.seed:
            raise ConfigError("limit below seed")


FITTING: dict[str, Any] = {
    "seed": 0, "ratio": 1, "part": object(), "unit": "bytes", "betas": [0, 0.5], "limit": None, "weights": {"a": 1},
}  # fmt: skip


@pytest.mark.parametrize("value", [1, 0.5, 1e-9, np.float32(0.5), np.int64(1)])
def test_numbers_inside_a_half_open_interval_pass(value):
    check_value("selector.ratio", value, PositiveShare)


@pytest.mark.parametrize("value", [0, -0.1, 1.0000001, float("nan"), float("inf"), "0.5", None, True, [0.5]])
def test_numbers_outside_a_half_open_interval_are_refused(value):
    with pytest.raises(ConfigError, match=r"selector\.ratio=.*; set it to a number in \(0, 1\]$"):
        check_value("selector.ratio", value, PositiveShare)


def test_the_bracket_decides_whether_an_end_belongs_to_the_interval():
    check_value("x", 0, HalfOpenShare)
    with pytest.raises(ConfigError, match=r"x=1 is not allowed; set it to a number in \[0, 1\)$"):
        check_value("x", 1, HalfOpenShare)


@pytest.mark.parametrize("hint", [PositiveFloat, float])
def test_infinity_is_no_number_in_an_unbounded_interval(hint):
    with pytest.raises(ConfigError, match="x=inf "):
        check_value("x", float("inf"), hint)


def test_whole_numbers_pass_and_anything_else_is_refused():
    check_value("k", 1, Count)
    check_value("k", np.int64(7), Count)
    for value in (0, -3, 2.0, 2.5, "3", None, True, np.int64(0)):
        with pytest.raises(ConfigError, match=r"k=.*whole number of at least 1$"):
            check_value("k", value, Count)


def test_a_flag_is_true_or_false_and_not_a_text():
    check_value("ascending", False, bool)
    for value in ("no", 0, None):
        with pytest.raises(ConfigError, match=r"ascending=.*true or false$"):
            check_value("ascending", value, bool)


def test_a_choice_outside_the_list_is_refused_with_the_list():
    check_value("end", "low", Literal["low", "high"])
    with pytest.raises(ConfigError, match=r"end='middle'.*one of: low, high$"):
        check_value("end", "middle", Literal["low", "high"])


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (Count | None, 0, "x=0 is not allowed; set it to a whole number of at least 1 or null"),
        (Literal["delt"] | None, "no", "x='no' is not allowed; set it to delt or null"),
        (str | Sequence[str], 3, "x=3 is not allowed; set it to text or a list, each item text"),
        (Sequence[str], "abc", "x='abc' is not allowed; set it to a list, each item text"),
        (Sequence[Count], [1, 0, True], "x[1]=0 is not allowed; set it to a whole number of at least 1\n"
         "x[2]=True is not allowed; set it to a whole number of at least 1"),
        (Annotated[Sequence[int], Len(2, 2)], [1], "x=[1] is not allowed; set it to a list, each item a whole number, "
         "2 of them"),
        (Mapping[str, Count] | None, {"a": 1, "b": 0}, "x.b=0 is not allowed; set it to a whole number of at least 1"),
        (Mapping[str, float], [1], "x=[1] is not allowed; set it to keys with values, each a number"),
        (Annotated[int, Ge(257), "256 bytes and a separator"], 256, "x=256 is not allowed; set it to a whole number of "
         "at least 257 (256 bytes and a separator)"),
    ],
)  # fmt: skip
def test_a_message_names_the_place_the_value_and_all_that_is_allowed(hint, value, message):
    with pytest.raises(ConfigError) as raised:
        check_value("x", value, hint)
    assert str(raised.value) == message


def test_an_object_is_refused_with_every_field_that_does_not_fit_before_fields_are_compared():
    with pytest.raises(ConfigError) as raised:
        Example(**{**FITTING, "seed": -1, "unit": "words", "betas": [0.5, 1], "limit": -2})
    assert str(raised.value).splitlines() == [
        "Example.seed=-1 is not allowed; set it to a whole number of at least 0",
        "Example.unit='words' is not allowed; set it to one of: bytes, tokens",
        "Example.betas[1]=1 is not allowed; set it to a number in [0, 1)",
        "Example.limit=-2 is not allowed; set it to a whole number of at least 1 or null",
    ]
    with pytest.raises(ConfigError, match=r"^limit below seed$"):
        Example(**{**FITTING, "seed": 2, "limit": 1})


def test_values_stay_the_objects_that_were_given():
    made = Example(**FITTING)
    assert all(getattr(made, name) is value for name, value in FITTING.items())
    assert identity(replace(made, part=None)) == {
        "class": "Example", "VERSION": 1, **FITTING, "part": None, "betas": [0, 0.5], "weights": {"a": 1},
    }  # fmt: skip
    assert type(identity(replace(made, part=None))["ratio"]) is int


def test_settings_are_frozen_dataclasses_that_are_checked_when_they_are_changed():
    made = Example(**{**FITTING, "part": None})
    assert [field.name for field in fields(made)] == list(FITTING)
    assert asdict(made) == {**FITTING, "part": None}
    assert pickle.loads(pickle.dumps(made)) == made
    assert replace(made, seed=0) == made
    with pytest.raises(ConfigError, match=r"Example\.seed='3'"):
        replace(made, seed="3")
    with pytest.raises(AttributeError):
        made.seed = 3  # type: ignore[misc]


def test_a_function_refuses_arguments_by_position_and_by_name():
    @checked
    def draw(part: Part, count: Count, *, seed: Seed = 0) -> int:
        return count + seed

    assert draw(None, 3, seed=1) == 4
    with pytest.raises(ConfigError, match=r"^draw\.count=0 is not allowed; set it to a whole number of at least 1\n"):
        draw(None, 0, seed=-1)


def test_a_component_may_be_anything():
    @settings
    class Holder:
        part: Part
        parts: Mapping[str, Part]
        free: dict[str, Any]

    @dataclass(frozen=True)
    class Real:
        size: int

    assert Holder(Real(1), {"a": Real(2)}, {"b": object()}).part == Real(1)
