"""The settings by which structured corpora say what of a record is the document."""

from functools import cached_property

from delt_exp.config.fields import settings
from delt_exp.dataset.conversation import Conversation
from delt_exp.dataset.preference import Preference
from delt_exp.dataset.template import ONLY_TEXT, DocumentTemplate, RecordTemplate, Values
from delt_exp.errors import ConfigError


@settings
class Records:
    """`text` and `prompt` are templates over the fields of a record; `messages` names a field that is a conversation.

    `rejected` makes preferences: it is the template, or where `messages` alone is read the field, of the answer that
    was liked less; `winner` names a field that is 1 where it was the other one and 0 where it was this. With
    `null_as_empty` null counts as empty text, with `numbers_as_text` a number as Python writes it.
    """

    text: str
    prompt: str | None
    messages: str | None
    rejected: str | None
    winner: str | None
    null_as_empty: bool
    numbers_as_text: bool

    @cached_property
    def template(self) -> RecordTemplate:
        """What turns a record into a document; raises ConfigError for settings that cannot do so."""
        values = Values(self.null_as_empty, self.numbers_as_text)
        chosen = record_template(self.text, self.prompt, self.messages, values)
        if self.rejected is None:
            if self.winner is not None:
                raise ConfigError(f"winner={self.winner!r} says which of two answers was preferred: set rejected too")
            return chosen
        is_conversation = self.messages is not None and self.prompt is None
        text, messages = (self.text, self.rejected) if is_conversation else (self.rejected, self.messages)
        return Preference(chosen, record_template(text, self.prompt, messages, values, "rejected"), self.winner)


def record_template(
    text: str, prompt: str | None, messages: str | None, values: Values = ONLY_TEXT, key: str | None = None
) -> RecordTemplate:
    """Return the templates of texts, or the reader of conversations where `messages` names their field.

    key: the setting that names the answer, where it is not `text` or `messages`; for messages.
    """
    if messages is None:
        return DocumentTemplate(text, prompt, values, key or "text")
    return Conversation(messages, text, prompt, values, key)
