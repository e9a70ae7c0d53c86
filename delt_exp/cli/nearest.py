"""The right word that a wrong one may stand for, for messages."""

import difflib
from collections.abc import Sequence

MOST = 3  # words that a message proposes


def nearest(word: str, known: Sequence[str]) -> str:
    """Return ", did you mean ...?" with the known words closest to `word`, nothing where none is close.

    Of dotted keys those come first that have the last name of `word`, under the same group where it names one.
    """
    same = [name for name in known if name.lower() == word.lower()]
    found = (
        same
        or _of_same_name(word, known)
        or difflib.get_close_matches(word, known, 1, 0.5)
        or _of_near_name(word, known)
    )
    if not found:
        return ""
    shown = [repr(name) for name in found[:MOST]]
    return f", did you mean {' or '.join([', '.join(shown[:-1]), shown[-1]] if shown[1:] else shown)}?"


def _of_same_name(word: str, known: Sequence[str]) -> list[str]:
    group, _, _ = word.partition(".")
    same = sorted((key for key in known if _last(key) == _last(word)), key=lambda key: key.count("."))
    inside = [key for key in same if key.startswith(f"{group}.")] if "." in word else same
    return inside or same


def _of_near_name(word: str, known: Sequence[str]) -> list[str]:
    by_last = {_last(key): key for key in reversed(known)}
    return [by_last[name] for name in difflib.get_close_matches(_last(word), list(by_last), 1, 0.6)]


def _last(key: str) -> str:
    return key.rsplit(".", maxsplit=1)[-1]
