"""What a setting may be stands in its type, and pydantic compares: `seed: Seed`, `unit: Literal["bytes", "tokens"]`.

Pydantic judges and changes nothing: a 1 given for a float stays a 1, because settings are part of store keys. A field
for a component, whose type is a protocol, takes what it is given.
"""

import functools
import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import Ge, Gt, Interval, Le, Len, Lt

from delt_exp.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Seed = Annotated[int, Ge(0)]
NonNegativeInt = Annotated[int, Ge(0)]
Count = Annotated[int, Ge(1)]
Several = Annotated[int, Ge(2)]
PositiveFloat = Annotated[float, Gt(0)]
NonNegativeFloat = Annotated[float, Ge(0)]
Share = Annotated[float, Interval(ge=0, le=1)]
PositiveShare = Annotated[float, Interval(gt=0, le=1)]
ProperShare = Annotated[float, Interval(gt=0, lt=1)]
HalfOpenShare = Annotated[float, Interval(ge=0, lt=1)]

SIMPLE: Mapping[Any, str] = {
    int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null",
}  # fmt: skip
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def settings(cls: type[T]) -> type[T]:
    """Make a frozen dataclass that refuses values unlike its fields' types; `__post_init__` sees only those that fit.

    Making an object raises ConfigError with every field that does not fit, its value and what is allowed.
    """
    own: Callable[[Any], None] | None = getattr(cls, "__post_init__", None)

    def checked_init(self: Any) -> None:
        check_settings(type(self), vars(self), type(self).__name__)
        if own is not None:
            own(self)

    cls.__post_init__ = checked_init  # type: ignore[attr-defined]
    return dataclass(frozen=True)(cls)


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function, one without `*args`, refuse arguments unlike their types, as `settings` does for fields."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        check_settings(function, signature.bind(*args, **kwargs).arguments, function.__name__)
        return function(*args, **kwargs)

    return call


def check_settings(target: Any, values: Mapping[str, Any], place: str) -> None:
    """Raise ConfigError with every value that does not fit its type in a class or function."""
    refuse(unfit_settings(target, values, place))


def check_value(name: str, value: Any, hint: Any) -> None:
    """Raise ConfigError where a value does not fit a type."""
    refuse(_unfit(name, value, hint))


def unfit_settings(target: Any, values: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield a message for every value that does not fit its type; `place` stands before the names."""
    for name, hint in _plain_hints(target).items():
        if name in values:
            yield from _unfit(f"{place}.{name}".lstrip("."), values[name], hint)


def refuse(messages: Iterable[str]) -> None:
    """Raise ConfigError with the messages, if there are any."""
    text = "\n".join(messages)
    if text:
        raise ConfigError(text)


def _unfit(name: str, value: Any, hint: Any) -> list[str]:
    """Return what is wrong with a value: a message for every item that does not fit, or one for the whole."""
    from pydantic import ValidationError  # 0.06 s that `--help` and `--cfg` do without

    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    try:
        _validator(hint).validate_python(int(value) if is_whole else value)  # which takes those of NumPy too
    except ValidationError:
        items = [message for at, item, kind in _items(value, hint) for message in _unfit(f"{name}{at}", item, kind)]
        return items or [f"{name}={value!r} is not allowed; set it to {_words(hint)}"]
    return []


@functools.cache
def _validator(hint: Any) -> "TypeAdapter[Any]":
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(hint, config=ConfigDict(strict=True, allow_inf_nan=False))


@functools.cache
def _plain_hints(target: Any) -> dict[str, Any]:
    """Return the types of fields or parameters, without those that components are given for."""
    hints = get_type_hints(target, include_extras=True)
    return {name: hint for name, hint in hints.items() if name != "return" and _is_plain(hint)}


def _is_plain(hint: Any) -> bool:
    origin, kinds = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _is_plain(kinds[0])
    is_container = origin in (list, Sequence, Mapping, Union, types.UnionType)
    return hint in SIMPLE or origin is Literal or (is_container and all(_is_plain(kind) for kind in kinds))


def _items(value: Any, hint: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield place, value and type of the items of a list or mapping."""
    origin, kinds = get_origin(hint), get_args(hint)
    if origin is Annotated:
        yield from _items(value, kinds[0])
    elif origin in (Union, types.UnionType):
        for kind in kinds:
            yield from _items(value, kind)
    elif origin in (list, Sequence) and isinstance(value, list | tuple):
        yield from ((f"[{index}]", item, kinds[0]) for index, item in enumerate(value))
    elif origin is Mapping and isinstance(value, Mapping):
        yield from ((f".{key}", item, kinds[1]) for key, item in value.items())


def _words(hint: Any) -> str:
    """Return a type in words that go on after "set it to"."""
    origin, kinds = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _bounded(kinds[0], hint.__metadata__)
    if origin in (Union, types.UnionType):
        return " or ".join(_words(kind) for kind in kinds)
    if origin is Literal:
        return str(kinds[0]) if len(kinds) == 1 else f"one of: {', '.join(map(str, kinds))}"
    if origin is Mapping:
        return f"keys with values, each {_words(kinds[1])}"
    return SIMPLE[hint] if hint in SIMPLE else f"a list, each item {_words(kinds[0])}"


def _bounded(kind: Any, metadata: Iterable[Any]) -> str:
    """Return a type and its bounds in words; a text among the metadata says why they are as they are."""
    low, high, reason = "(-inf", "inf)", ""
    for bound in metadata:
        for one in bound if isinstance(bound, Interval) else [bound]:
            match one:
                case str():
                    reason = f" ({one})"
                case Len(size, _):
                    return f"{_words(kind)}, {size} of them"
                case Ge(end):
                    low = f"[{end}"
                case Gt(end):
                    low = f"({end}"
                case Le(end):
                    high = f"{end}]"
                case Lt(end):
                    high = f"{end})"
    is_at_least = kind is int and low[0] == "[" and high == "inf)"
    return f"{_words(kind)} {f'of at least {low[1:]}' if is_at_least else f'in {low}, {high}'}{reason}"
