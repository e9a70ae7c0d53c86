"""The one place where configuration becomes objects."""

import importlib
import inspect
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError

from delt_exp.config.fields import check_settings, refuse, unfit_settings
from delt_exp.config.keys import naming
from delt_exp.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[1]
# Installed, the files lie inside the package; in a checkout, beside it.
CONF = (_PACKAGE if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent) / "conf"
ALLOWED_PREFIX = "delt_exp."
T = TypeVar("T")


def plain(node: Any) -> Any:
    """Return a config node as resolved dicts and lists, `~/` at the beginning of a path as the home folder.

    A text with a brace is a template and no path.

    Raises on missing values, and ConfigError for a value that is to be that of a key which is not there.
    """
    if not isinstance(node, DictConfig | ListConfig):
        return node
    try:
        return _at_home(OmegaConf.to_container(node, resolve=True, throw_on_missing=True))
    except InterpolationKeyError as error:
        raise refers_to_nothing(error) from error


def refers_to_nothing(error: InterpolationKeyError) -> ConfigError:
    """Return the error for a key whose value is to be that of another one, which is not there."""
    return ConfigError(
        f"{error.full_key} takes its value from elsewhere: {str(error).splitlines()[0]}. Choose an option that has "
        f"this key, or give {error.full_key}=VALUE"
    )


def _at_home(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _at_home(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_at_home(item) for item in value]
    is_path = isinstance(value, str) and value.startswith("~/") and "{" not in value
    return os.path.expanduser(value) if is_path else value


def build(node: Any, place: str = "") -> Any:
    """Return the object (or, with `_partial_`, the function) that a config node describes.

    place: the node's key, for messages. Raises ConfigError for a setting of the wrong type or value, and for a target
    outside this package, at any depth: a config file cannot run other code.
    """
    settings = plain(node)
    check_keys(settings, place)
    return _made(settings, place)


def _made(value: Any, place: str) -> Any:
    """Return checked settings with an object in the place of every `_target_`, as `hydra.utils.instantiate` would.

    That composes them anew and copies them several times: 20 ms for the components of a run.
    """
    if isinstance(value, list):
        return [_made(item, f"{place}[{index}]") for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    parts = {key: item for key, item in value.items() if key not in ("_target_", "_partial_")}
    made = {key: _made(item, f"{place}.{key}".lstrip(".")) for key, item in parts.items()}
    if "_target_" not in value:
        return made
    target = located(value["_target_"])
    if value.get("_partial_"):
        return partial(target, **made)
    try:
        with naming({f"model.{place.rpartition('.')[2]}": place}):  # a part of a model can be one of a proxy, say
            return target(**made)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{place}: {error}") from error


def construct(cls: type[T], node: Any, place: str) -> T:
    """Return `cls` with the settings of a config node that names no target; raises ConfigError for a wrong type."""
    settings = plain(node)
    known = {field.name for field in fields(cls) if field.init}  # type: ignore[arg-type]
    if not isinstance(settings, Mapping):
        raise ConfigError(f"{place}={settings!r} is not allowed; set its keys: {place}.{sorted(known)[0]}=VALUE")
    if set(settings) != known:
        wrong = sorted(set(settings) ^ known)[0]
        raise ConfigError(
            f"{place}.{wrong} is {'unknown' if wrong in settings else 'missing'}; keys: {', '.join(known)}"
        )
    check_settings(cls, settings, place)
    return cls(**settings)


def check_keys(value: Any, place: str) -> None:
    """Raise ConfigError for a key that a component at any depth does not have, or with all values that do not fit."""
    refuse(_unfit(value, place))


def _unfit(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        if "_target_" in value:
            target = located(value["_target_"])
            _check_keys(target, value, place)
            yield from unfit_settings(target, value, place)
        for key, item in value.items():
            yield from _unfit(item, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unfit(item, f"{place}[{index}]")


def _check_keys(target: Any, settings: Mapping[str, Any], place: str) -> None:
    """Raise for a key that the chosen component does not have, such as one that a preset sets for another."""
    unknown = _unknown_keys(target, settings)
    if unknown:
        parameters = inspect.signature(target).parameters
        needless = {name for name, parameter in parameters.items() if parameter.default is not parameter.empty}
        keys = [name for name in _keys(target, settings) if name in settings or name not in needless]
        wrong, named = dict(_unknown_at_any_depth(settings, place)), ", ".join(f"{place}.{key}" for key in unknown)
        removed = " ".join(shlex.quote(f"~{key}") for key in wrong)
        deletable = None not in wrong.values()  # Hydra takes a null for a key that is not there
        raise ConfigError(
            f"{named}: {target.__name__}, which was chosen for {place}, has no such key; its keys: "
            f"{', '.join(keys) or 'none'}. Choose the option of {place} that it belongs to"
            + (f", or, where a preset sets it, take it out: {removed}" if deletable else "")
        )


def _keys(target: Any, settings: Mapping[str, Any]) -> list[str]:
    """Return the keys that a component has."""
    parameters = inspect.signature(target).parameters.items()
    # Of a function that is called with documents later, the keys are what can only be given by name.
    is_later = bool(settings.get("_partial_"))
    return [name for name, p in parameters if not is_later or p.kind is inspect.Parameter.KEYWORD_ONLY]


def _unknown_keys(target: Any, settings: Mapping[str, Any]) -> list[str]:
    parameters = inspect.signature(target).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return []
    known = _keys(target, settings)
    return [key for key in settings if key not in known and not key.startswith("_")]


def _unknown_at_any_depth(settings: Mapping[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    """Yield every key that its component does not have, with its value: a cure has to take out all of them."""
    unknown = _unknown_keys(located(settings["_target_"]), settings) if "_target_" in settings else []
    for key, value in settings.items():
        if key in unknown:
            yield f"{place}.{key}", value
        elif isinstance(value, Mapping):
            yield from _unknown_at_any_depth(value, f"{place}.{key}")


def located(target: str) -> Any:
    """Return what a `_target_` names; raises ConfigError where that is not of this package, or cannot be imported."""
    if not str(target).startswith(ALLOWED_PREFIX):
        raise ConfigError(f"_target_ {target!r} is not allowed; targets start with {ALLOWED_PREFIX!r}")
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"_target_ {target!r} cannot be imported: {error}") from error
