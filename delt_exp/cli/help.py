"""The help pages, read from the configuration itself: groups, the options of a group, the keys of an option."""

import re
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path

from delt_exp.cli.nearest import nearest, unknown_option
from delt_exp.cli.option_keys import Key, Part, keys_of, keys_of_text, parts_of, shared_keys
from delt_exp.errors import ConfigError

USAGE = """\
python run.py [GROUP=OPTION ...] [KEY=VALUE ...]       one run
python run.py -m GROUP=OPTION,OPTION KEY=VALUE,VALUE   a sweep over all combinations, with one table
python run.py study=NAME [scale=paper] [...]           many runs that answer one question, with one report
python run.py study=compare 'arms=[scorer=lqs,scorer=random]' seeds=3     a study of a few choices of your own
python run.py [...] dry_run=true                       read, forecast the cost, and stop
python run.py -m [...] hydra/launcher=parallel         run these jobs in parallel (default: one after another)
python run.py --cfg job [...]                          show the configuration and stop
"""
MORE = """\
python run.py --help scorer          the options of a group (so does scorer=? --help)
python run.py --help scorer=kenlm    what an option does, and its keys
python run.py --help training        keys and their meaning; --help keys lists all keys outside groups
"""
LAUNCHER = "hydra/launcher"
# Groups of data, sizes and places; every other one is a group of methods.
NO_METHODS = {
    "train_dataset", "target_dataset", "eval_dataset", "model", "trainer", "logger", "experiment", "study", LAUNCHER,
}  # fmt: skip
TITLE = "Which training data, in which order, makes a better language model?"


def help_text(conf: Path, words: Sequence[str] = (), width: int | None = None) -> str:
    """Return the help on each word, GROUP, GROUP=OPTION or KEY; the first page for none of them.

    width: of the page, that of the terminal for None. Raises ConfigError for a word that is none of these.
    """
    columns = width or shutil.get_terminal_size((100, 24)).columns
    return "\n\n".join(_on(conf, word, columns) for word in words) or _first_page(conf, columns)


def group_names(conf: Path) -> list[str]:
    """Return the config groups in the order of the data flow, and the launcher of sweeps."""
    listed = [*_listed(conf)]
    others = {folder.name for folder in conf.iterdir() if folder.is_dir() and folder.name != "hydra"} - set(listed)
    return [*listed, *sorted(others), LAUNCHER]


def options(conf: Path, group: str) -> list[str]:
    """Return the options of a config group; `study` has some in folders, `name/scale`."""
    files = (conf / group).rglob("*.yaml")
    return sorted(file.relative_to(conf / group).with_suffix("").as_posix() for file in files)


def description(file: Path) -> str:
    """Return the first comment of a YAML file that is not Hydra's package line."""
    return next(iter(_head(file)), "")


def _first_page(conf: Path, width: int) -> str:
    listed = _listed(conf)
    column = max(map(len, listed)) + 2
    chosen = max(len(default) for default, _ in listed.values()) + 3
    rows = []
    for group, (default, meaning) in listed.items():
        rows.append((f"  {group:<{column}}{default:<{chosen}}", f"{meaning} ({len(options(conf, group))})"))
    inside = ", ".join(group for group in group_names(conf) if group not in listed)
    sections = dict.fromkeys(key.name.split(".")[0] for key in _own_keys(conf))
    return "\n".join([
        TITLE, "", _indented(USAGE), _indented(MORE),
        "Groups: the default, what each chooses, and the number of options:",
        *(_hanging(first, rest, width) for first, rest in rows),
        _hanging("  inside others  ", inside, width),
        "",
        _hanging("Other keys: ", ", ".join(sections), width),
    ])  # fmt: skip


def _on(conf: Path, word: str, width: int) -> str:
    """Return the help on one word of the command line."""
    name, _, option = word.partition("=")
    name, option = name.lstrip("+").split("@")[0], option.strip("\"'")
    several = [one.strip() for one in option.strip("[]").split(",")]
    if name in group_names(conf) and len(several) > 1:
        return "\n\n".join(_on(conf, f"{name}={one}", width) for one in several)
    if name in group_names(conf):
        known = options(conf, name)
        if option in ("", "?"):
            return _group(conf, name, width)
        if option not in known:
            raise ConfigError(unknown_option(name, option, known))
        return _option(conf, name, option, width)
    own = _own_keys(conf)
    keys = own if name == "keys" else _below(name, own)
    return _keys(keys, width) if keys else _elsewhere(conf, name, width)


def _elsewhere(conf: Path, name: str, width: int) -> str:
    """Return the help on the name of an option, or on a key that options of a group have."""
    groups = group_names(conf)
    found = [_option(conf, group, name, width) for group in groups if name in options(conf, group)]
    group = name.partition(".")[0]
    for option in options(conf, group) if group in groups else []:
        keys = _below(name, keys_of(conf, group, option, group))
        found += [f"{group}={option}\n{_keys(keys, width)}"] if keys else []
    if not found:
        words = [
            *groups,
            *(key.name for key in _own_keys(conf)),
            *(o for group in groups for o in options(conf, group)),
        ]
        if group in groups:
            words = [key.name for option in options(conf, group) for key in keys_of(conf, group, option, group)]
        near = nearest(name, list(dict.fromkeys(words)))
        raise ConfigError(f"there is no group, option or key {name!r}{near}; python run.py --help lists the groups")
    return "\n\n".join(found)


def _below(name: str, keys: Sequence[Key]) -> list[Key]:
    """Return a key and those under it."""
    return [key for key in keys if f"{key.name}.".startswith(f"{name}.")]


def _group(conf: Path, group: str, width: int) -> str:
    default, meaning = _listed(conf).get(group, ("", ""))
    names = options(conf, group)
    column = max(map(len, names)) + 2
    lines = [
        _hanging(f"  {'*' if n == default else ' '} {n:<{column}}", description(conf / group / f"{n}.yaml"), width)
        for n in names
    ]
    star = "* is the default; " if default in names else ""
    last = _hanging("", f"{star}python run.py --help {group}={names[0]} shows the keys of an option", width)
    return "\n".join([f"{group}={f'  {meaning}' if meaning else ''}", *lines, "", last])


def _option(conf: Path, group: str, option: str, width: int) -> str:
    file = conf / group / f"{option}.yaml"
    place = "" if "@package _global_" in file.read_text(encoding="utf-8") else group.replace("/", ".")
    parts = parts_of(conf, group, option, place)
    keys, names = shared_keys(keys_of(conf, group, option, place), parts)
    legend = f"*: one of {', '.join(names)}. A value of ... is not the same for all of them."
    return "\n".join([
        f"{group}={option}", *_paragraphs(_head(file), width), "",
        _keys(keys, width) if keys else "  It has no keys.",
        *(["", _hanging("", legend, width)] if names else []),
        *(["", _parts(conf, parts, width)] if parts else []),
    ])  # fmt: skip


def _parts(conf: Path, parts: Sequence[Part], width: int) -> str:
    """Return what fills each part of an option, and how another option is put there; a text is not repeated."""
    texts: dict[str, str] = {}
    for part in parts:
        file = conf / part.group / f"{part.option}.yaml"
        text = description(file) if file.exists() else "nothing"
        texts[f"  {part.command}  "] = "" if text in texts.values() else text
    column = min(max(map(len, texts)), width // 2)
    title = _hanging("", "Its parts are options too; GROUP@PLACE=OPTION puts another option in their place:", width)
    return "\n".join([title, *(_hanging(f"{first:<{column}}", text, width, column) for first, text in texts.items())])


def _paragraphs(lines: Sequence[str], width: int) -> list[str]:
    """Return comment lines filled to the width; the first, commands, and indented lines stay lines of their own."""
    blocks = list(lines[:1])
    is_open = False  # whether a line goes on where the last one ended
    for line in lines[1:]:
        is_own = line.startswith(" ") or re.match(r"python |[a-z_]+=", line) is not None
        if is_open and line and not is_own:
            blocks[-1] += f" {line}"
        else:
            blocks.append(line)
        is_open = bool(line) and not line.startswith(" ")
    return [_hanging("  " + " " * (len(text) - len(text.lstrip())), text.strip(), width) for text in blocks if text]


def _keys(keys: Sequence[Key], width: int) -> str:
    rows = [(f"{key.name}={key.value}", key.comment) for key in keys]
    column = min(max(len(first) for first, _ in rows) + 2, max(width // 2, 24))
    lines = []
    for first, comment in rows:
        lines.append(_hanging(f"  {first:<{column}}" if comment else f"  {first}", comment, width, column + 2))
    return "\n".join(lines)


def _hanging(first: str, rest: str, width: int, indent: int | None = None) -> str:
    """Return a text that begins with `first` and goes on under the place where `rest` begins."""
    room = len(first) if indent is None else indent
    if room > width - 20:  # too narrow for a column
        room = 6
    if not rest:
        return first.rstrip()
    if len(first.rstrip()) >= room:  # `first` fills its column: the rest goes below
        return (
            f"{first.rstrip()}\n{textwrap.fill(rest, width, initial_indent=' ' * room, subsequent_indent=' ' * room)}"
        )
    return textwrap.fill(
        rest, width, initial_indent=first, subsequent_indent=" " * room, break_long_words=False, break_on_hyphens=False
    )


def _listed(conf: Path) -> dict[str, tuple[str, str]]:
    """Return group -> (default option, what it chooses) of the groups that config.yaml lists."""
    text = (conf / "config.yaml").read_text(encoding="utf-8").partition("\n\n")[0]
    found = re.findall(r"^ *- (\w+): (\S+)(?: +# (.*))?$", text, flags=re.M)
    return {group: (default, meaning) for group, default, meaning in found}


def _own_keys(conf: Path) -> list[Key]:
    keys = keys_of_text((conf / "config.yaml").read_text(encoding="utf-8"))
    return [key for key in keys if not key.name.startswith("hydra.")]


def _head(file: Path) -> list[str]:
    """Return the comment lines at the head of a YAML file, without Hydra's package line."""
    lines = file.read_text(encoding="utf-8").splitlines()
    end = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return [line[1:].removeprefix(" ").rstrip() for line in lines[:end] if "@package" not in line]


def _indented(text: str) -> str:
    return textwrap.indent(text, "  ")
