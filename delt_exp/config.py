"""The one place where configuration becomes objects."""

import importlib
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, ListConfig, OmegaConf

from delt_exp.errors import ConfigError, DeltError

ALLOWED_PREFIX = "delt_exp."
SIMPLE = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}
T = TypeVar("T")


def plain(node: Any) -> Any:
    """Return a config node as resolved dicts and lists; raises on missing values."""
    if isinstance(node, DictConfig | ListConfig):
        return OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    return node


def build(node: Any, place: str = "") -> Any:
    """Return the object (or, with `_partial_`, the function) that a config node describes.

    place: the node's key, for messages. Raises ConfigError for a setting of the wrong type or value, and for a target
    outside this package, at any depth: a config file cannot run other code.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    settings = plain(node)
    _check(settings, place)
    try:
        return instantiate(settings, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, DeltError):
            raise error.__cause__ from error
        raise ConfigError(f"{place}: {error.__cause__ or error}") from error


def construct(cls: type[T], node: Any, place: str) -> T:
    """Return `cls` with the settings of a config node that names no target; raises ConfigError for a wrong type."""
    settings = plain(node)
    known = {field.name for field in fields(cls) if field.init}  # type: ignore[arg-type]
    if set(settings) != known:
        wrong = sorted(set(settings) ^ known)[0]
        raise ConfigError(
            f"{place}.{wrong} is {'unknown' if wrong in settings else 'missing'}; keys: {', '.join(known)}"
        )
    _check_types(cls, settings, place)
    return cls(**settings)


def _check(value: Any, place: str) -> None:
    if isinstance(value, Mapping):
        if "_target_" in value:
            _check_types(_locate(value["_target_"]), value, place)
        for key, item in value.items():
            _check(item, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check(item, f"{place}[{index}]")


def _check_types(target: Any, settings: Mapping[str, Any], place: str) -> None:
    """Compare settings with the annotations of a dataclass where these are simple types or unions of them."""
    if not is_dataclass(target):
        return
    for name, hint in get_type_hints(target).items():
        allowed = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        if name not in settings or not set(allowed) <= set(SIMPLE):
            continue
        value = settings[name]
        fits = type(value) in allowed or (float in allowed and type(value) is int)
        if not fits:
            expected = " or ".join(SIMPLE[kind] for kind in allowed)
            raise ConfigError(f"{place}.{name}={value!r} is not allowed; set it to {expected}".lstrip("."))


def _locate(target: str) -> Any:
    if not str(target).startswith(ALLOWED_PREFIX):
        raise ConfigError(f"_target_ {target!r} is not allowed; targets start with {ALLOWED_PREFIX!r}")
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"_target_ {target!r} cannot be imported: {error}") from error
