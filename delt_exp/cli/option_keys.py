"""The keys of an option with the comments that stand beside them in its YAML file and in those that it continues."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

MOST_PARTS = 3  # whose keys are listed; a suite of ten datasets would fill a page with the same ones
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
    for key in _all_keys(conf, group, option, place):
        comment = key.comment or (keys[key.name].comment if key.name in keys else "")
        keys[key.name] = key._replace(comment=comment)
    return list(keys.values())


def parts_of(conf: Path, group: str, option: str, place: str) -> list[Part]:
    """Return the places of an option that options of other groups fill, those that it takes over among them."""
    parts: dict[str, Part] = {}
    for kind, choice, where in _entries(conf, group, option):
        if where == "":
            parts |= {part.place: part for part in parts_of(conf, kind, choice, place)}
        else:
            at = f"{place}.{where}".lstrip(".")
            parts[at] = Part(at, kind, choice)
    return list(parts.values())


def keys_of_text(text: str, place: str = "") -> list[Key]:
    """Return the keys of a YAML text, under `place`, with the comments beside them or on the lines above."""
    node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return list(_leaves(node, text.splitlines(), place)) if isinstance(node, yaml.MappingNode) else []


def _all_keys(conf: Path, group: str, option: str, place: str) -> Iterator[Key]:
    entries = list(_entries(conf, group, option))
    is_short = len(entries) <= MOST_PARTS
    for kind, choice, where in entries:
        if where == "" or (is_short and (conf / kind / f"{choice}.yaml").exists()):
            yield from _all_keys(conf, kind, choice, f"{place}.{where}".strip("."))
    yield from keys_of_text((conf / group / f"{option}.yaml").read_text(encoding="utf-8"), place)


def _entries(conf: Path, group: str, option: str) -> Iterator[tuple[str, str, str]]:
    """Yield (group, option, place) of the defaults of an option; place is empty for one that it continues."""
    settings = yaml.safe_load((conf / group / f"{option}.yaml").read_text(encoding="utf-8")) or {}
    for entry in settings.get("defaults", []):
        if entry == "_self_":
            continue
        if isinstance(entry, Mapping):
            ((name, choice),) = entry.items()
            kind, _, where = str(name).partition("@")
            if not kind.startswith("override"):
                yield kind.strip("/"), str(choice), where or kind.strip("/")
            continue
        path, _, where = str(entry).partition("@")
        kind, _, choice = path.strip("/").rpartition("/") if path.startswith("/") else (group, "", path)
        yield kind, choice, "" if where == "_here_" else where


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
