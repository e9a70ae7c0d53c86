"""Names that Weights & Biases takes, made from names that people give."""

import re
import unicodedata
from collections.abc import Sequence

from delt_exp.errors import ConfigError
from delt_exp.files import digest

MAX_CHARS, MAX_TAG_CHARS = 128, 64
NOT_IN_A_PROJECT = "/\\#?%:"


def short(name: str, max_chars: int) -> str:
    """Return `name`, or one of `max_chars` characters that begins like it and differs for different names."""
    return name if len(name) <= max_chars else f"{name[: max_chars - 9]}-{digest(name)[:8]}"


def artifact_name(*parts: str) -> str:
    """Return a name of letters, digits, dots, hyphens and underscores; different parts give different names."""
    name = "-".join(parts)
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    allowed = re.sub(r"[^A-Za-z0-9_.-]", "-", plain)
    marked = allowed if allowed == name.replace("/", "-") else f"{allowed}-{digest(name)[:8]}"
    return short(marked, MAX_CHARS)


def check_names(project: str, entity: str | None, tags: Sequence[str]) -> None:
    """Raise ConfigError for a project, an entity or a tag that W&B would refuse, before anything is computed."""
    for key, value in (("project", project), ("entity", entity)):
        if value is None:
            continue
        wrong = next((character for character in NOT_IN_A_PROJECT if character in value), None)
        if wrong is not None or not 0 < len(value) <= MAX_CHARS:
            raise ConfigError(
                f"logger.wandb.{key}={value!r} is not allowed; give 1 to {MAX_CHARS} characters without any of "
                f"{' '.join(NOT_IN_A_PROJECT)} (a team is logger.wandb.entity=TEAM)"
            )
    for tag in tags:
        if not 0 < len(tag) <= MAX_TAG_CHARS:
            raise ConfigError(
                f"logger.wandb.tags has {tag!r} of {len(tag)} characters; W&B takes 1 to {MAX_TAG_CHARS} in a tag"
            )
