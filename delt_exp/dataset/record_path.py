"""Names of values inside the objects and lists of a record, such as `meta[score]`."""

import re
from collections.abc import Mapping, Sequence

_FIELD = re.compile(r"([^\[\]]+)((?:\[[^\[\]]+\])*)")


def steps_of(field: str) -> list[str] | None:
    """Return the way to a value in a record: `meta[score]` is `meta`, then `score`; None for what is no such name."""
    match = _FIELD.fullmatch(field)
    return None if match is None else [match[1], *re.findall(r"\[([^\[\]]+)\]", match[2])]


def named(steps: Sequence[str]) -> str:
    """Return the name that `steps_of` gives these steps of."""
    return steps[0] + "".join(f"[{step}]" for step in steps[1:])


def value_at(record: Mapping[str, object], steps: Sequence[str]) -> object:
    """Return the value at the end of the way; raises LookupError where there is none."""
    value: object = record
    for step in steps:
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]  # type: ignore[index]
        except (LookupError, TypeError, ValueError) as error:
            raise LookupError(step) from error
    return value
