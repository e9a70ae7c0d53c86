"""Documents as `python -m delt_exp.export --to jsonl` writes them: a line says what it is and where it came from."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from delt_exp.config.fields import settings
from delt_exp.dataset.base import Document
from delt_exp.dataset.conversation import Conversation
from delt_exp.dataset.files import FileDataset
from delt_exp.dataset.json_records import json_records
from delt_exp.dataset.preference import Preference
from delt_exp.dataset.template import DocumentTemplate, RecordTemplate
from delt_exp.errors import DataError

FIELDS = ("text", "prompt", "messages", "rejected", "source")
_EMPTY: tuple[object, ...] = (None, "", [])
# Readers of an answer and of the other one: in texts, in texts after a prompt, and in conversations.
_TEXTS, _PAIRS = (
    [DocumentTemplate(f"{{{key}}}", prompt, key=key) for key in ("text", "rejected")] for prompt in (None, "{prompt}")
)
_CONVERSATIONS = [Conversation(key, "", None, key=key) for key in ("messages", "rejected")]


@settings
class Documents(FileDataset):
    """One document per line, an object with some of the fields FIELDS; other fields are not read.

    `text` is a plain document, with `prompt` a pair; `messages` is a conversation; `rejected`, a text or the whole
    other conversation, makes either a preference. `source` labels the document, which `name` does where there is none.
    A field that is null or empty counts as missing.
    """

    SUFFIXES: ClassVar[tuple[str, ...]] = (".jsonl",)

    def read(self, file: Path) -> Iterator[Document]:
        """Yield the documents of one file; raises DataError with line and field."""
        return (document(record, place, self.name) for record, place in json_records(file))


def document(record: Mapping[str, object], place: str, name: str) -> Document:
    """Return the document of one record, labelled `name` where it has no source; raises DataError at `place`."""
    given = {key: value for key, value in record.items() if key in FIELDS and value not in _EMPTY}
    _check(given, place)
    source = str(given.get("source", name))
    readers: Sequence[RecordTemplate] = _PAIRS if "prompt" in given else _TEXTS
    if "messages" in given:
        readers = _CONVERSATIONS
    elif "text" in record:
        given.setdefault("text", "")  # an empty document is counted, a missing field is an error
    if "rejected" not in given:
        return readers[0].render({**record, **given}, place, source)
    if "messages" in given and isinstance(given["rejected"], str):
        given["rejected"] = _answered(readers[0].render(given, place, source), given["rejected"])
    return Preference(readers[0], readers[1], None).render({**record, **given}, place, source)


def _check(given: Mapping[str, object], place: str) -> None:
    for key in ("text", "prompt", "source"):
        if not isinstance(given.get(key, ""), str):
            raise DataError(f"{place}: the field {key!r} is {type(given[key]).__name__}, not text. Correct the record.")
    if "messages" in given and {"text", "prompt"} & set(given):
        raise DataError(f"{place}: a conversation (messages) has neither text nor prompt. Leave out one of the two.")


def _answered(chosen: Document, answer: str) -> list[dict[str, str]]:
    """Return the conversation of `chosen` with another last answer, as messages."""
    turns = [{"role": role, "content": text} for role, text in chosen.turns]
    return [*turns[:-1], {"role": "assistant", "content": answer}]
