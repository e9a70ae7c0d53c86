"""The templates that pages are written from: every text is escaped, a missing value is an error."""

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def compiled(name: str, filters: Mapping[str, Callable[..., Any]]) -> Template:
    """Return the template `name`, a path in the package, with these filters."""
    environment = Environment(
        loader=PackageLoader("delt_exp", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= filters
    return environment.get_template(name)
