"""The right word that a wrong one may stand for, for messages."""

import difflib
from collections.abc import Sequence

from delt_exp.cli.named_datasets import reader

MOST = 3  # words that a message proposes
MOST_LISTED = 12  # options; a longer list hides the message


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


def unknown_option(group: str, value: str, known: Sequence[str]) -> str:
    """Return the message for an option that a group does not have; a file stands for its reader."""
    option = reader(value) if group in ("train_dataset", "target_dataset") else None
    if option:
        return f"{group} has no option {value!r}; to read a file, write {group}={option} {group}.path={value}"
    near = nearest(value, known)
    listed = f"; options: {', '.join(known)}"
    if near and len(known) > MOST_LISTED:
        listed = f" python run.py --help {group} lists the options"
    return f"{group} has no option {value!r}{near}{listed}"


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
