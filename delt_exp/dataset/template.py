"""Templates that turn one record of a structured corpus into a document."""

import re
from collections.abc import Mapping
from string import Formatter

from delt_exp.dataset.base import Document
from delt_exp.errors import ConfigError, DataError

_FIELD = re.compile(r"([^\[\]]+)((?:\[[^\[\]]+\])*)")


class Template:
    """A pattern like `"{instruction}\\n{output}"`; `{turns[0]}` and `{meta[title]}` reach into lists and objects.

    `key` is the setting the pattern comes from and only serves messages. Raises ConfigError for a pattern that names
    no field, has an open brace, or asks for a format or a conversion.
    """

    def __init__(self, key: str, pattern: str) -> None:
        self.setting = f"{key}={pattern!r}"
        try:
            pieces = list(Formatter().parse(pattern))
        except ValueError as error:
            raise ConfigError(f"{self.setting}: {error}. Write a literal brace as '{{{{' or '}}}}'.") from error
        self._pieces = [(literal, self._steps(field, spec, conv)) for literal, field, spec, conv in pieces]
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
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:  # only an escaped half of a surrogate pair gets this far
                raise DataError(
                    f"{place}: {self.setting} gives half a character ({text[error.start]!r}), which is no valid text. "
                    "Write the record again with its characters whole."
                ) from error
        return text

    def _steps(self, field: str | None, spec: str | None, conversion: str | None) -> list[str]:
        if field is None:
            return []
        match = _FIELD.fullmatch(field)
        if match is None or spec or conversion:
            raise ConfigError(
                f"{self.setting}: {field!r} cannot be filled in. Allowed are '{{field}}', '{{field[0]}}' and "
                "'{field[name]}', without a format; write a literal brace as '{{' or '}}'."
            )
        return [match[1], *re.findall(r"\[([^\[\]]+)\]", match[2])]

    def _value(self, record: Mapping[str, object], steps: list[str], place: str) -> str:
        value: object = record
        for step in steps:
            try:
                value = value[int(step)] if isinstance(value, list) else value[step]  # type: ignore[index]
            except (LookupError, TypeError, ValueError) as error:
                raise DataError(
                    f"{place}: {self.setting} needs the field {'.'.join(steps)!r}, which is missing. "
                    f"The record has: {', '.join(record) or 'nothing'}. Correct the record or the template."
                ) from error
        if not isinstance(value, str):
            raise DataError(
                f"{place}: the field {'.'.join(steps)!r} of {self.setting} is {type(value).__name__}, not text. "
                "Correct the record or choose another field."
            )
        return value


class DocumentTemplate:
    """The pair of templates behind a document: `text`, and `prompt` or None for documents without a prompt."""

    def __init__(self, text: str, prompt: str | None) -> None:
        self._text = Template("text", text)
        self._prompt = None if prompt is None else Template("prompt", prompt)
        self.fields = self._text.fields | (self._prompt.fields if self._prompt else set())

    def render(self, record: Mapping[str, object], place: str, source: str) -> Document:
        """Return the document of one record; raises DataError at `place` (file and line, say)."""
        prompt = self._prompt.render(record, place) if self._prompt else ""
        return Document(self._text.render(record, place), prompt, source)
