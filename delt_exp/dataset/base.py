"""What a dataset promises to the rest of the program."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Protocol

# The order is that of the codes in a corpus folder. `prompt` and `text` make a plain document or a pair, `rejected` is
# the other answer of a preference, and the rest make a conversation.
ROLES = ("text", "prompt", "system", "user", "assistant", "tool", "rejected")
PREDICTED_ROLES = frozenset({"text", "assistant"})


class Part(NamedTuple):
    """A stretch of a document that one side wrote; `role` is one of ROLES."""

    role: str
    text: str

    @property
    def is_predicted(self) -> bool:
        """Whether the model is to learn to write it; the other parts are only read."""
        return self.role in PREDICTED_ROLES


@dataclass(frozen=True, slots=True)
class Document:
    """One unit that is scored, kept and ordered: a `text`, or a conversation of several `turns`.

    `prompt` is conditioning text in front of `text`; it is empty for plain documents. A conversation has turns and
    neither text nor prompt. `rejected` makes it a preference: an answer that someone liked less than the last one, the
    chosen one, in the same place; empty for all other documents. `source` names the corpus the document came from, so
    that mixtures stay readable in tables. `left_out` says what a reader left out of it, one phrase for each thing; the
    corpus counts the phrases.
    """

    text: str = ""
    prompt: str = ""
    source: str = ""
    turns: tuple[Part, ...] = ()
    rejected: str = ""
    left_out: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """What the document consists of, in order; a plain document is one part, a preference its chosen side."""
        if self.turns:
            return self.turns
        text = Part("text", self.text)
        return (Part("prompt", self.prompt), text) if self.prompt else (text,)

    @classmethod
    def of_parts(cls, parts: Sequence[Part], source: str) -> "Document":
        """Return the document that has these `parts`; a last one of the role `rejected` is its rejected answer."""
        if parts[-1].role == "rejected":
            return replace(cls.of_parts(parts[:-1], source), rejected=parts[-1].text)
        if parts[-1].role != "text":
            return cls(source=source, turns=tuple(parts))
        return cls(parts[-1].text, parts[0].text if len(parts) > 1 else "", source)

    @property
    def answer(self) -> str:
        """The last answer; of a preference the chosen one."""
        return self.turns[-1].text if self.turns else self.text

    def answered(self, chosen: str, rejected: str) -> "Document":
        """Return the preference of these two answers after the same prompt."""
        if self.turns:
            return replace(self, turns=(*self.turns[:-1], self.turns[-1]._replace(text=chosen)), rejected=rejected)
        return replace(self, text=chosen, rejected=rejected)

    def rewritten(self, change: Callable[[str], str]) -> "Document":
        """Return the document with `change` applied to every part that is to be predicted; `rejected` stays."""
        turns = tuple(part._replace(text=change(part.text)) if part.is_predicted else part for part in self.turns)
        return replace(self, turns=turns) if turns else replace(self, text=change(self.text))


def joined(parts: Sequence[Part]) -> str:
    """Return a document as one string: prompt and text as they stand, the turns of a conversation a blank line apart.

    Who spoke is not part of it: what marks the turns belongs to the tokenizer's chat template.
    """
    return ("" if parts[-1].role == "text" else "\n\n").join(part.text for part in parts)


def document_id(document: Document) -> int:
    """Return the 64-bit content hash of a document; equal parts and rejected answers give equal ids, any source."""
    state = hashlib.blake2b(document.text.encode(), digest_size=8, key=b"doc")
    for role, text in document.turns:
        size = len(text.encode())  # so that no text can pass for the border between two turns
        state.update(f"\x00{role} {size}\x00{text}".encode())
    if document.rejected:
        state.update(f"\x00rejected {len(document.rejected.encode())}\x00{document.rejected}".encode())
    if document.prompt:
        state.update(b"\x00prompt\x00" + document.prompt.encode())
    return int.from_bytes(state.digest(), "little")


@dataclass(frozen=True, slots=True)
class EmptyFile(Document):
    """Stands in the stream of documents for a file without a record, which is counted and is no document."""


class Dataset(Protocol):
    """A re-readable stream of documents; fields of an implementation are the keys of its YAML file."""

    VERSION: ClassVar[int]  # bump when unchanged settings and unchanged files give other documents

    def documents(self) -> Iterator[Document]:
        """Yield every document once, always in the same order; empty texts and files are yielded and counted later.

        Raises DataError (file, line, field and cure) at the first record that cannot be read.
        """

    def fingerprint(self) -> str:
        """Return a hash that changes whenever the files or the remote revision of the stream change.

        Raises DataError when there is nothing to read; must not read a remote corpus.
        """
