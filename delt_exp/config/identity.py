"""What decides a component's results, as plain values for store keys.

A component is named by its class, not by the file it lives in, and files that it reads by their content, not by their
place: moving a file or a store must never train anything again. Class names are unique over all of conf/, which a test
keeps. They are not the names of options: several options may share a class, and a component from elsewhere has none.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any


def identity(component: Any) -> Any:
    """Return the class, VERSION and settings of a component and of all components inside it, as JSON-like values.

    With `fingerprint`, the content of what it reads is among them. `PLACES` are the settings that say where this lies:
    one that names a file or folder of this machine counts as None.
    """
    if is_dataclass(component) and not isinstance(component, type):
        settings = {field.name: _setting(component, field.name) for field in fields(component)}
        result = {"class": type(component).__qualname__, "VERSION": getattr(component, "VERSION", 1), **settings}
        if hasattr(component, "fingerprint"):
            result["content"] = component.fingerprint()
        return result
    if isinstance(component, Mapping):
        return {str(key): identity(value) for key, value in component.items()}
    if isinstance(component, list | tuple):
        return [identity(value) for value in component]
    if isinstance(component, str | int | float | bool | None):
        return component
    if isinstance(component, Path):
        return str(component)
    raise TypeError(f"{component!r} has no identity; components are dataclasses of plain values")


def _setting(component: Any, name: str) -> Any:
    value = getattr(component, name)
    is_place = value is not None and name in getattr(component, "PLACES", ())
    return None if is_place and Path(value).exists() else identity(value)


def flat(inputs: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested inputs as dotted names and values."""
    if isinstance(inputs, Mapping) and inputs:
        return {name: v for key, value in inputs.items() for name, v in flat(value, f"{prefix}{key}.").items()}
    return {prefix.rstrip("."): inputs}


def differences(one: Any, other: Any) -> list[str]:
    """Return `name: value here -> value there` for every input in which two stages, or two configurations, differ."""
    here, there = flat(one), flat(other)
    names = [name for name in {**here, **there} if here.get(name, "absent") != there.get(name, "absent")]
    return [f"{name}: {here.get(name, 'absent')} -> {there.get(name, 'absent')}" for name in names]
