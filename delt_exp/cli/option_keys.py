"""The keys of an option with the comments that stand beside them in its YAML file and in those that it continues."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

MOST_PARTS = 3  # with keys of their own; a suite of ten datasets would fill a page with the same ones
HIDDEN = ("_target_", "_partial_", "defaults", "hydra")


class Key(NamedTuple):
    """A key as the command line names it, its value as the file writes it, and the comment beside it."""

    name: str
    value: str
    comment: str


class Part(NamedTuple):
    """A place inside an option that is filled by an option of another group."""

    place: str
    group: str
    option: str

    @property
    def command(self) -> str:
        """The override that makes this choice."""
        return f"{self.group}@{self.place}={self.option}"


def keys_of(conf: Path, group: str, option: str, place: str) -> list[Key]:
    """Return the keys of an option at `place` with their values, those that it takes from other options among them."""
    keys: dict[str, Key] = {}
    for key in _all_keys(conf, group, option, place, {}):
        _put(keys, key)
    return [key for key in keys.values() if key.value != "{}" or not _has_children(key.name, keys)]


def parts_of(conf: Path, group: str, option: str, place: str) -> list[Part]:
    """Return the places of an option that options of other groups fill, those of its parts among them."""
    return list(_all_parts(conf, group, option, place, {}).values())


def shared_keys(keys: Sequence[Key], parts: Sequence[Part]) -> tuple[list[Key], list[str]]:
    """Return the keys with those of many parts once, and the names of these parts: `parts.*.path` for `parts.a.path`.

    A value that is not the same in all parts becomes "...". Up to MOST_PARTS parts keep keys of their own.
    """
    places = [part.place.split(".") for part in parts]
    outer = [place for place in places if not any(place[: len(one)] == one for one in places if one != place)]
    columns = [len(set(words)) for words in zip(*outer, strict=False)]
    if len(outer) <= MOST_PARTS or columns.count(len(outer)) != 1 or sum(columns) != len(columns) - 1 + len(outer):
        return list(keys), []
    at = columns.index(len(outer))  # the one word in which their places differ
    names = [place[at] for place in outer]
    shared: dict[str, Key] = {}
    for key in keys:
        words = key.name.split(".")
        if words[:at] == outer[0][:at] and words[at : at + 1] and words[at] in names:
            key = key._replace(name=".".join([*words[:at], "*", *words[at + 1 :]]))
        known = shared.get(key.name, key)
        value = key.value if key.value == known.value else "..."
        shared[key.name] = Key(key.name, value, known.comment or key.comment)
    return list(shared.values()), names


def keys_of_text(text: str, place: str = "") -> list[Key]:
    """Return the keys of a YAML text, under `place`, with the comments beside them or on the lines above."""
    node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return list(_leaves(node, text.splitlines(), place)) if isinstance(node, yaml.MappingNode) else []


def _all_keys(conf: Path, group: str, option: str, place: str, chosen: Mapping[str, str]) -> Iterator[Key]:
    """Yield the keys in the order in which later ones replace earlier ones; chosen: place -> option."""
    file = conf / group / f"{option}.yaml"
    if not file.exists():  # of an installed plugin
        return
    for kind, choice, where, below in _entries(conf, group, option, place, chosen):
        yield from _all_keys(conf, kind, choice, where, below)
    yield from keys_of_text(file.read_text(encoding="utf-8"), place)


def _all_parts(conf: Path, group: str, option: str, place: str, chosen: Mapping[str, str]) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    if (conf / group / f"{option}.yaml").exists():
        for kind, choice, where, below in _entries(conf, group, option, place, chosen):
            parts |= {where: Part(where, kind, choice)} if where != place else {}
            parts |= _all_parts(conf, kind, choice, where, below)
    return parts


def _entries(
    conf: Path, group: str, option: str, place: str, chosen: Mapping[str, str]
) -> Iterator[tuple[str, str, str, Mapping[str, str]]]:
    """Yield (group, option, place, choices below it) of the defaults of an option; one that it continues has its place.

    chosen: place -> option of those that contain it, whose choices count more than its own.
    """
    settings = yaml.safe_load((conf / group / f"{option}.yaml").read_text(encoding="utf-8")) or {}
    entries = [_entry(group, entry) for entry in settings.get("defaults", []) if entry != "_self_"]
    below = {f"{place}.{where}".strip("."): choice for kind, choice, where in entries if kind.startswith("override ")}
    below |= chosen
    for kind, choice, where in entries:
        if not kind.startswith("override "):
            at = f"{place}.{where}".strip(".")
            yield kind, below.get(at, choice) if where else choice, at, below


def _entry(group: str, entry: Any) -> tuple[str, str, str]:
    """Return (group, option, place below that of the option) of an entry of a defaults list."""
    if isinstance(entry, Mapping):
        ((name, choice),) = entry.items()
        kind, _, where = str(name).partition("@")
        return kind.strip("/"), "null" if choice is None else str(choice), where or kind.strip("/")
    path, _, where = str(entry).partition("@")
    kind, _, choice = path.strip("/").rpartition("/") if path.startswith("/") else (group, "", path)
    return kind, choice, "" if where == "_here_" else where


def _put(keys: dict[str, Key], key: Key) -> None:
    """Add or replace a key; {a: 1, ...} over keys that are there replaces those of its names, as Hydra merges them."""
    if key.value.startswith("{") and key.value not in ("{}", "{...}") and _has_children(key.name, keys):
        for inner in keys_of_text(key.value, key.name):
            _put(keys, inner)
    else:
        comment = key.comment or (keys[key.name].comment if key.name in keys else "")
        keys[key.name] = key._replace(comment=comment)


def _has_children(name: str, keys: Iterable[str]) -> bool:
    return any(key.startswith(f"{name}.") for key in keys)


def _leaves(node: yaml.MappingNode, lines: list[str], place: str) -> Iterator[Key]:
    for key, value in node.value:
        name = f"{place}.{key.value}".lstrip(".")
        if key.value in HIDDEN:
            continue
        if isinstance(value, yaml.MappingNode) and not value.flow_style and value.value:
            yield from _leaves(value, lines, name)
        else:
            yield Key(name, _written(value, lines), _comment(key, value, lines))


def _written(value: Any, lines: list[str]) -> str:
    """Return a value as the file writes it; one of several lines is only hinted at."""
    start, end = value.start_mark, value.end_mark
    if start.line != end.line:
        return "[...]" if isinstance(value, yaml.SequenceNode) else "{...}"
    return lines[start.line][start.column : end.column].strip()


def _comment(key: Any, value: Any, lines: list[str]) -> str:
    """Return the comment beside a value, with the lines that go on below it; else the one on the lines above."""
    number, column = value.end_mark.line, value.end_mark.column
    if value.start_mark.line == number and lines[number][column:].lstrip().startswith("#"):
        texts = [lines[number][column:]]
        for line in lines[number + 1 :]:
            if not line.lstrip().startswith("#") or line.index("#") <= column:
                break
            texts.append(line)
        return " ".join(text.strip().lstrip("#").strip() for text in texts)
    above: list[str] = []
    for line in reversed(lines[: key.start_mark.line]):
        if not line.lstrip().startswith("#") or line.index("#") != key.start_mark.column or not key.start_mark.column:
            break
        above.insert(0, line.strip().lstrip("#").strip())
    return " ".join(above)
