"""Messages for mistaken words of a command line, with what was probably meant."""

import re
from collections.abc import Sequence
from pathlib import Path

from delt_exp.cli.help import group_names, options
from delt_exp.cli.nearest import nearest
from delt_exp.cli.option_keys import keys_of, keys_of_text


def unknown_flag(conf: Path, word: str, flags: Sequence[str]) -> str:
    """Return the message for an unknown flag, which may be a key with dashes before it."""
    name, mark, value = word.lstrip("-").partition("=")
    key = name.replace("-", "_")
    own = keys_of_text((conf / "config.yaml").read_text(encoding="utf-8"))
    if key in group_names(conf) or any(f"{known.name}.".startswith(f"{key}.") for known in own):
        return f"there is no option {word!r}: groups and keys have no dashes; write {key}={value if mark else 'VALUE'}"
    return f"there is no option {word!r}{nearest(word, flags)}; python run.py --help shows the usage"


def without_value(conf: Path, word: str) -> str:
    """Return the message for a word without `=`, which may be an option without its group."""
    if word in group_names(conf):
        cure = f"write {word}=OPTION, without spaces; python run.py --help {word} lists the options"
    else:
        cure = _as_option(conf, word) or "write KEY=VALUE or GROUP=OPTION; python run.py --help shows the usage"
    return f"cannot read the command line: {word!r} has no '='; {cure}"


def unknown_key(conf: Path, key: str, known: Sequence[str]) -> str:
    """Return the message for a key that the chosen options do not have, which may be one of another option."""
    group, _, rest = key.partition(".")
    if group in group_names(conf) and rest:
        owners = _owners(conf, group, key)
        if owners:
            shown = f"{', '.join(owners[:5])}{' ...' if len(owners) > 5 else ''}"
            return f"{key} is a key of {group}={shown}, which is not chosen here: {_choose(group, owners)}"
    advice = _as_option(conf, key)
    near = "" if advice else nearest(key, known)
    return (
        f"there is no key or group {key!r}{near or (f'; {advice}' if advice else '')}; python run.py --help lists the "
        "groups, python run.py --cfg job the keys"
    )


def without_place(sentence: str, places: Sequence[str]) -> str:
    """Return Hydra's sentence with a cure where it could not override a choice; another sentence as it is.

    places: where an option is chosen, such as `model` and `model@proxy.recipe`.
    """
    found = re.search(r"Could not override '([^']+)'", sentence)
    if found is None:
        return sentence
    group = found[1].split("@")[0]
    near = " or ".join(place for place in sorted(places) if place.split("@")[0] == group and place != found[1])
    return f"{sentence.rstrip('.')}; leave it out{f', or override {near}' if near else ''}"


def _owners(conf: Path, group: str, key: str) -> list[str]:
    """Return the options that have a key; only those that wait for its value where there are some."""
    values = {
        option: known.value
        for option in options(conf, group)
        for known in keys_of(conf, group, option, group)
        if known.name == key
    }
    return [option for option, value in values.items() if value == "???"] or list(values)


def _choose(group: str, owners: Sequence[str]) -> str:
    return f"add {group}={owners[0]}{' or another of these' if len(owners) > 1 else ''}, or leave the key out"


def _as_option(conf: Path, word: str) -> str:
    """Return what to write where a word is the name of an option; nothing where it is none."""
    groups = [group for group in group_names(conf) if word in options(conf, group)]
    return f"write {' or '.join(f'{group}={word}' for group in groups[:3])}" if groups else ""
