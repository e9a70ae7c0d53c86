"""Overrides as text and as values: what Hydra reads, and quotes that make it readable."""

import re
import shlex
from pathlib import Path
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, ValueType
from hydra.errors import HydraException

from delt_exp.cli.advice import without_value
from delt_exp.errors import ConfigError


def parsed(conf: Path, text: str) -> Override:
    """Return an override; raises ConfigError with the quotes that its value needs."""
    if "=" not in text and not text.startswith("~"):
        raise ConfigError(without_value(conf, text))
    parser = OverridesParser.create()
    try:
        return parser.parse_override(text)
    except HydraException as error:
        key, _, value = text.partition("=")
        if inner := _with_inner_quotes(key, value):
            raise ConfigError(
                f"cannot read the command line: {text!r}: in a list or a mapping each text with an '=' needs quotes, "
                f"and the keys of a mapping take none: {shlex.quote(inner)}"
            ) from error
        quoted = value.strip("\"'").replace("\\", "\\\\").replace('"', '\\"')
        cure = f'{key}="{quoted}"'
        try:
            parser.parse_override(cure)
        except HydraException:
            raise ConfigError(f"cannot read the command line: {text!r}: {first_line(error)}") from error
        if value.endswith(","):
            raise ConfigError(f"cannot read the command line: {text!r} ends with a comma; leave it out") from error
        raise ConfigError(
            f"cannot read the command line: {text!r}: a value with spaces, brackets, braces, '=' or letters beyond "
            f"ASCII needs quotes twice, for the shell and for Hydra: {shlex.quote(cure)}"
        ) from error


def _with_inner_quotes(key: str, value: str) -> str:
    """Return an override with the quotes that texts in its list or mapping lack; nothing where that is no cure."""
    if value[:1] not in ("[", "{"):
        return ""
    bare_keys = re.sub(r"""(["'])([^"']*)\1(?=\s*:)""", r"\2", value)
    cure = f"{key}=" + re.sub(r"""(?<!["'\w])([\w.@/+~]+=[^,\[\]{}"']*)""", r'"\1"', bare_keys)
    try:
        OverridesParser.create().parse_override(cure)
    except HydraException:
        return ""
    return cure


def is_sweep(conf: Path, text: str) -> bool:
    """Return whether an override has several values; raises ConfigError for what is no override."""
    return parsed(conf, text).is_sweep_override()


def group_of(override: Override) -> str:
    """Return the group of `group=option` and `group@place=option`; of another override, its key."""
    return (override.key_or_group or "").split("@")[0]


def values_of(override: Override, known: list[str]) -> list[Any]:
    """Return the options that an override chooses, or the values that a sweep goes through."""
    if override.value_type is ValueType.GLOB_CHOICE_SWEEP:
        return cast(Glob, override.value()).filter(known)
    if override.is_sweep_override():
        return [text.strip("'\"") for text in override.sweep_string_iterator()]
    value = override.value()
    return value if isinstance(value, list) else [value]


def first_line(error: Exception) -> str:
    """Return the first line of the message of an error of Hydra."""
    return str(error).strip().splitlines()[0]
