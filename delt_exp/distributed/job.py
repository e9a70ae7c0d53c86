"""A job is a file: the name of a function and its arguments, so that any process on any machine can run it.

`job.json` holds names, numbers and text, readable by eye; arrays lie beside it as `.npy`. It is never pickle: a job may
lie in a folder that others can write to, and reading a pickle runs whatever it says. So that reading a job runs nothing
else either, only functions and frozen dataclasses of this package are named in one, and an object is rebuilt by its
constructor, with all its checks. What is large travels as the path of a folder: corpora, tokens, models.
"""

import functools
import importlib
import json
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from delt_exp.errors import DataError
from delt_exp.files import read_json, written_aside

FILE = "job.json"
PACKAGES: tuple[str, ...] = ("delt_exp.",)  # whose functions and classes a job may name, as in a configuration
CAN_TRAVEL = (
    "None, numbers, text, paths, arrays, lists, tuples, mappings, and functions and frozen dataclasses of this "
    "package can"
)


def write_job(folder: Path, function: Callable[..., Any], *arguments: Any) -> Path:
    """Write the call `function(*arguments)` to `folder`, which is made, and return the file that `run_job` takes.

    Arguments are None, numbers, text, paths (made absolute: a worker may start elsewhere), NumPy arrays, lists, tuples,
    mappings (read back as dicts), and functions and frozen dataclasses of this package, nested as they like. Raises
    TypeError with the place of the first one that is something else. Files of an earlier job in `folder` are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    writer = _Writer(folder)
    name = _name_of(function)
    written = [writer.write(value, f"argument {i} of {name}") for i, value in enumerate(arguments, 1)]
    with written_aside(folder / FILE) as aside:
        aside.write_text(json.dumps({"function": name, "arguments": written}, indent=1, allow_nan=False) + "\n")
    return folder / FILE


def run_job(file: Path) -> Any:
    """Call what `write_job` wrote to `file` and return its result.

    Raises DataError for a function or class outside this package, and what the function or a constructor raises.
    """
    job = read_json(file)
    function = _find(job["function"], file)
    return function(*(_read(value, file) for value in job["arguments"]))


class _Writer:
    """Turns values into JSON; what JSON does not know becomes an object with one key that tells what it is."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.num_arrays = folder, 0

    def write(self, value: Any, place: str) -> Any:
        # Exact types: a subclass (an enum, a named tuple) would come back as something else.
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if type(value) is list:
            return [self.write(item, f"{place}[{i}]") for i, item in enumerate(value)]
        if type(value) is tuple:
            return {"tuple": [self.write(item, f"{place}[{i}]") for i, item in enumerate(value)]}
        if isinstance(value, Mapping):
            return {"dict": [[self.write(k, place), self.write(v, f"{place}[{k!r}]")] for k, v in value.items()]}
        if isinstance(value, Path):
            return {"path": str(value.absolute())}
        if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
            return {"array" if isinstance(value, np.ndarray) else "scalar": self._save(value)}
        if isinstance(value, FunctionType):
            return {"function": _name_of(value)}
        if is_dataclass(value) and not isinstance(value, type):
            return self._object(value, place)
        raise TypeError(f"{place} is a {type(value).__qualname__}, which cannot travel in a job; {CAN_TRAVEL}")

    def _object(self, value: Any, place: str) -> dict[str, Any]:
        if not type(value).__dataclass_params__.frozen:
            raise TypeError(f"{place} is a {type(value).__qualname__}, which may have changed since it was made")
        name = _name_of(type(value))
        given = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
        return {"class": name, "fields": {key: self.write(item, f"{place}.{key}") for key, item in given.items()}}

    def _save(self, value: Any) -> str:
        name = f"array-{self.num_arrays}.npy"
        self.num_arrays += 1
        with written_aside(self.folder / name) as aside, aside.open("wb") as file:
            np.save(file, value, allow_pickle=False)
        return name


def _read(value: Any, file: Path) -> Any:
    if isinstance(value, list):
        return [_read(item, file) for item in value]
    if not isinstance(value, dict):
        return value
    kind, content = next(iter(value.items()))
    if kind == "class":
        given = {key: _read(item, file) for key, item in value["fields"].items()}
        return _find(content, file)(**given)
    if kind == "function":
        return _find(content, file)
    if kind in ("array", "scalar"):
        array = np.load(file.parent / content, allow_pickle=False)
        return array if kind == "array" else array[()]
    if kind == "dict":
        return {_read(key, file): _read(item, file) for key, item in content}
    simple: dict[str, Callable[[Any], Any]] = {"float": float, "path": Path, "tuple": lambda v: tuple(_read(v, file))}
    return simple[kind](content)


def _name_of(thing: Callable[..., Any]) -> str:
    """Return the name by which a job finds a function or class again."""
    name = f"{thing.__module__}:{thing.__qualname__}"
    if not name.startswith(PACKAGES) or "<" in name:
        raise TypeError(f"{name} cannot travel in a job, which names only what is in {' '.join(PACKAGES)}")
    return name


def _find(name: str, file: Path) -> Any:
    """Return the function or frozen dataclass of that name."""
    module, _, attribute = str(name).partition(":")
    if name.startswith(PACKAGES):
        thing: Any = None
        with suppress(ImportError, AttributeError):
            thing = functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
        # What a module imports from elsewhere (`delt_exp.files:os.system`) is not of this package either.
        if callable(thing) and (thing.__module__, thing.__qualname__) == (module, attribute):
            return thing
    raise DataError(
        f"{file} names {name!r}; a job names only functions and dataclasses of {' '.join(PACKAGES)}, and a worker has "
        "the same version of them as its run"
    )
