"""`arms=[...]` and `seeds=...`: what a study varies, as short as one writes it on a command line.

Hydra's own lists hold no `=` without quotes around each item; these become lists that it reads.
"""

from collections.abc import Iterator, Sequence

from delt_exp.errors import ConfigError

EXAMPLE = "study=compare 'arms=[scorer=lqs,scorer=random]' seeds=3"
OPENING, CLOSING, QUOTES = "([{", ")]}", "\"'"


def in_full(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `arms=...` and `seeds=...` as the keys of a study that they stand for.

    Raises ConfigError for arms that cannot be read, and for either of them without a study.
    """
    is_study = any(text.startswith("study=") for text in arguments)
    return [_in_full(text, is_study=is_study) for text in arguments]


def _in_full(argument: str, *, is_study: bool) -> str:
    key, _, value = argument.partition("=")
    if key not in ("arms", "seeds"):
        return argument
    if not is_study:
        raise ConfigError(f"{argument} belongs to a study; give study=NAME too, for example {EXAMPLE}")
    if key == "seeds":
        return f"study.seeds={_seeds(value)}"
    arms = [f"[{', '.join(map(_quoted, arm))}]" for arm in read_arms(value)]
    return f"study.arms=[{', '.join(arms)}]"


def _seeds(value: str) -> str:
    """Return a list of seeds for a number of them; a list stays."""
    if value.startswith("["):
        return value
    if not value.isdecimal() or int(value) == 0:
        raise ConfigError(f"seeds={value} is not allowed; give how many, of at least 1, or which: seeds=[0,1,2]")
    return str(list(range(int(value))))


def read_arms(value: str) -> list[list[str]]:
    """Return (name, override, ...) of each arm of `[OVERRIDE, [OVERRIDE, OVERRIDE]]` or `{NAME: ...}`.

    An arm without a name is called by its values where all arms set the same keys, else by its overrides. Raises
    ConfigError for what is neither, or an item that is no override.
    """
    value = value.strip()
    if value[:1] + value[-1:] not in ("[]", "{}"):
        raise ConfigError(f"arms={value} is not a list of arms; write, quoted for the shell, {EXAMPLE}")
    items = [item for item in split(value[1:-1]) if item]
    if value[0] == "{":
        named = [_named(item) for item in items]
        return [[name, *_overrides(text)] for name, text in named]
    arms = [_overrides(item) for item in items]
    keys = {tuple(text.split("=", 1)[0] for text in arm) for arm in arms}
    is_same = len(keys) == 1
    names = [" ".join(text.split("=", 1)[1] if is_same else text for text in arm) for arm in arms]
    return [[name, *arm] for name, arm in zip(names, arms, strict=True)]


def split(text: str) -> Iterator[str]:
    """Yield the parts between commas that stand in no brackets and no quotes, without white space around them."""
    depth, quote, part = 0, "", ""
    for character, before in zip(text, f" {text}", strict=False):
        if before == "\\":
            pass
        elif quote:
            quote = "" if character == quote else quote
        elif character in QUOTES:
            quote = character
        else:
            depth += (character in OPENING) - (character in CLOSING)
        if character == "," and not depth and not quote:
            yield part.strip()
            part = ""
        else:
            part += character
    yield part.strip()


def _named(item: str) -> tuple[str, str]:
    name, mark, text = item.partition(":")
    if not mark or "=" in name:
        raise ConfigError(f"arms: {item!r} has no name; write arms={{NAME: OVERRIDE, ...}}, or arms=[OVERRIDE, ...]")
    return name.strip().strip(QUOTES), text.strip()


def _overrides(item: str) -> list[str]:
    """Return the overrides of one arm: one, or several in brackets."""
    item = item[1:-1] if item[:1] in QUOTES and item[-1:] == item[:1] else item
    texts = [text for text in split(item[1:-1]) if text] if item.startswith("[") and item.endswith("]") else [item]
    wrong = next((text for text in texts if "=" not in text), None)
    if wrong is not None or not texts:
        raise ConfigError(
            f"arms: {wrong or item!r} is not an override; write KEY=VALUE or GROUP=OPTION for each arm, and several of "
            "one arm in brackets: 'arms=[[scorer=lqs,orderer=folding],scorer=random]'"
        )
    return texts


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
