"""Keys in messages: a component names them as where it usually stands, and is not told when it stands elsewhere."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from delt_exp.errors import DeltError


def moved(component: Any, usual: str, place: str) -> dict[str, str]:
    """Return the keys of a component, a class or an object: as it names them, under `usual` -> under `place`."""
    return {f"{usual}.{field.name}": f"{place}.{field.name}" for field in fields(component)}


@contextmanager
def naming(keys: Mapping[str, str]) -> Iterator[None]:
    """Let errors of the block name the keys that the user wrote: `keys` as components name them -> as they are.

    What stands under a key moves with it; of several that fit, the longest counts.
    """
    try:
        yield
    except DeltError as error:
        if not keys:
            raise
        alternatives = "|".join(map(re.escape, sorted(keys, key=len, reverse=True)))
        told = re.sub(rf"(?<![\w./])(?:{alternatives})\b", lambda match: keys[match[0]], str(error))
        raise type(error)(told) from error
