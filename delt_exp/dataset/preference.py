"""Preferences: two answers to one prompt or conversation, of which someone liked one more.

A record holds two answers beside a shared prompt, or two whole conversations (messages, or transcripts as in HH-RLHF)
that differ in the last answer alone. Either side is read as a document of its own and the two are put together, so that
every form that a document may have is also one for preferences.
"""

from collections.abc import Mapping
from dataclasses import replace

from delt_exp.dataset.base import Document
from delt_exp.dataset.template import RecordTemplate
from delt_exp.errors import DataError


class Preference:
    """Reads a record as its chosen side with the other one's last answer as `rejected`.

    winner: a field that is 1 where the answer of `text` (or `messages`) was preferred and 0 where that of `rejected`
    was; None where it always is the first. Left out whole, and said so in `Document.left_out`: preferences of which a
    side cannot be used, with an empty answer, with the same answer twice, or whose sides differ before the last answer.
    """

    def __init__(self, first: RecordTemplate, second: RecordTemplate, winner: str | None) -> None:
        self._sides, self._winner = (first, second), winner
        self.fields = first.fields | second.fields | ({winner} if winner else set())

    def render(self, record: Mapping[str, object], place: str, source: str) -> Document:
        """Return the preference of one record; raises DataError for a field that is missing or of another form."""
        chosen, rejected = (side.render(record, place, source) for side in self._sides)
        if self._winner and not _is_first(record, self._winner, place):
            chosen, rejected = rejected, chosen
        cut = tuple(dict.fromkeys([*chosen.left_out, *rejected.left_out]))
        if any(side.left_out and _is_blank(side) for side in (chosen, rejected)):
            return Document(source=source, left_out=cut)
        if reason := _unusable(chosen, rejected):
            return Document(source=source, left_out=(*cut, reason))
        return replace(chosen, rejected=rejected.parts[-1].text, left_out=cut)


def _unusable(chosen: Document, rejected: Document) -> str:
    """Return why two sides are no preference, an empty text where they are one."""
    if _is_blank(chosen) or _is_blank(rejected):
        return "preferences with an empty answer"
    if chosen.parts[:-1] != rejected.parts[:-1]:
        return "preferences whose sides differ before the last answer"
    return "preferences with the same answer twice" if chosen.parts == rejected.parts else ""


def _is_blank(side: Document) -> bool:
    return not side.parts[-1].text.strip()


def _is_first(record: Mapping[str, object], field: str, place: str) -> bool:
    if field not in record:
        raise DataError(
            f"{place}: winner={field!r} names a field that is missing. The record has: "
            f"{', '.join(record) or 'nothing'}. Correct the record or the setting."
        )
    if record[field] not in (0, 1):
        raise DataError(
            f"{place}: winner={field!r} is {record[field]!r}; 1 says that the first answer (text or messages) was "
            "preferred, 0 that rejected was. Correct the record, or set winner=null."
        )
    return bool(record[field])
