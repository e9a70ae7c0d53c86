"""Templates that turn one record of a structured corpus into a document."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from string import Formatter
from typing import Protocol

from delt_exp.config.fields import settings
from delt_exp.dataset.base import Document
from delt_exp.dataset.record_path import named, steps_of, value_at
from delt_exp.errors import ConfigError, DataError

_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\r": "\r", r"\\": "\\"}


def check_characters(text: str, place: str) -> None:
    """Raise DataError for half a character, which an escape in JSON can stand for."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"{place} gives half a character ({text[error.start]!r}), which is not valid text. "
                "Write the record again with its characters whole."
            ) from error


@settings
class Values:
    """Which values besides texts a template takes: null as empty text, numbers as Python writes them."""

    null_as_empty: bool
    numbers_as_text: bool

    def text(self, value: object) -> str | None:
        """Return the text that a value stands for, None for one that is not taken."""
        if isinstance(value, str):
            return value
        if value is None:
            return "" if self.null_as_empty else None
        return str(value) if self.numbers_as_text and _is_number(value) else None

    def cures(self, value: object) -> str:
        """Return what can be done about a value that is not taken."""
        setting = ""
        if value is None:
            setting = "Set null_as_empty=true (beside text) to read null as empty text. Or c"
        elif _is_number(value):
            setting = "Set numbers_as_text=true (beside text) to read numbers as text. Or c"
        return f"{setting or 'C'}orrect the record, or choose another field."


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


@dataclass(frozen=True)
class Repeated:
    """Stands for the value of a key that an object has `count` times, so that none of them is taken by chance."""

    count: int


def _kind(value: object) -> str:
    if isinstance(value, Repeated):
        return f"given {value.count} times in one object"
    return "null" if value is None else type(value).__name__


ONLY_TEXT = Values(null_as_empty=False, numbers_as_text=False)


class Template:
    """A pattern like `"{instruction}\\n{output}"`; `{turns[0]}` and `{meta[title]}` reach into lists and objects.

    A backslash with n, t or r is a line end, a tab or a carriage return, as typed on a command line, and two of them
    are one backslash. `key` is the setting the pattern comes from and only serves messages. `values` says which values
    are text. Raises ConfigError for a pattern that names no field, has an open brace or another backslash, or asks for
    a format or a conversion.
    """

    def __init__(self, key: str, pattern: str, values: Values = ONLY_TEXT) -> None:
        self.setting, self._values = f"{key}={pattern!r}", values
        try:
            pieces = list(Formatter().parse(pattern))
        except ValueError as error:
            raise ConfigError(f"{self.setting}: {error}. Write a literal brace as '{{{{' or '}}}}'.") from error
        self._pieces = [(self._plain(text), self._steps(field, spec, conv)) for text, field, spec, conv in pieces]
        if not self.fields:
            raise ConfigError(f"{self.setting} names no field of the records. Name one, for example '{{text}}'.")

    @property
    def fields(self) -> set[str]:
        """Names of the record's own fields that the pattern reads."""
        return {steps[0] for _, steps in self._pieces if steps}

    def render(self, record: Mapping[str, object], place: str) -> str:
        """Fill in the fields of `record`; raises DataError at `place` for a missing field or one that is not text."""
        text = "".join(
            [literal + (self._value(record, steps, place) if steps else "") for literal, steps in self._pieces]
        )
        check_characters(text, f"{place}: {self.setting}")
        return text

    def _plain(self, literal: str) -> str:
        def character(match: re.Match[str]) -> str:
            if match[0] not in _ESCAPES:
                raise ConfigError(
                    f"{self.setting}: {match[0]!r} means nothing here. Write a backslash as two; a line end is \\n, a "
                    "tab \\t."
                )
            return _ESCAPES[match[0]]

        return re.sub(r"\\.?", character, literal, flags=re.DOTALL)

    def _steps(self, field: str | None, spec: str | None, conversion: str | None) -> list[str]:
        if field is None:
            return []
        steps = steps_of(field)
        if steps is None or spec or conversion:
            raise ConfigError(
                f"{self.setting}: {field!r} cannot be filled in. Allowed are '{{field}}', '{{field[0]}}' and "
                "'{field[name]}', without a format; write a literal brace as '{{' or '}}'."
            )
        return steps

    def _value(self, record: Mapping[str, object], steps: list[str], place: str) -> str:
        try:
            value = value_at(record, steps)
        except LookupError as error:
            raise DataError(
                f"{place}: {self.setting} needs the field {named(steps)!r}, which is missing. "
                f"The record has: {', '.join(record) or 'nothing'}. Correct the record, or name another field."
            ) from error
        text = self._values.text(value)
        if text is None:
            raise DataError(
                f"{place}: the field {named(steps)!r} of {self.setting} is {_kind(value)}, not text. "
                f"{self._values.cures(value)}"
            )
        return text


class RecordTemplate(Protocol):
    """What turns a record into a document."""

    fields: set[str]

    def render(self, record: Mapping[str, object], place: str, source: str) -> Document:
        """Return the document of one record; raises DataError at `place` (file and line, say)."""


class DocumentTemplate:
    """The templates of a document: `text`, and `prompt` or None for documents without a prompt.

    key: the setting that `text` comes from, for messages.
    """

    def __init__(self, text: str, prompt: str | None, values: Values = ONLY_TEXT, key: str = "text") -> None:
        self._text = Template(key, text, values)
        self._prompt = None if prompt is None else Template("prompt", prompt, values)
        self.fields = self._text.fields | (self._prompt.fields if self._prompt else set())

    def render(self, record: Mapping[str, object], place: str, source: str) -> Document:
        """Return the document of one record; raises DataError at `place` (file and line, say)."""
        prompt = self._prompt.render(record, place) if self._prompt else ""
        return Document(self._text.render(record, place), prompt, source)
