"""Conversations in the forms they are published in, read into turns of known roles.

Read are lists of {role, content} (content as text or as a list of {type: text, text}), lists of {from, value}
(ShareGPT), lists of texts or of [question, answer] pairs, where the user speaks first, and the transcripts of HH-RLHF
("\\n\\nHuman: ... \\n\\nAssistant: ...").
"""

import re
from collections.abc import Mapping

from delt_exp.dataset.base import Document, Part
from delt_exp.dataset.template import ONLY_TEXT, DocumentTemplate, Values, check_characters
from delt_exp.errors import DataError

SYNONYMS = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant",
    "tool": "tool", "observation": "tool", "function_response": "tool", "ipython": "tool",
}  # fmt: skip
CALLS = frozenset({"function_call", "function", "tool_call", "tool_calls"})
_TRANSCRIPT = re.compile(r"\n\n(Human|Assistant):[ \n]?")


class _LeftOutError(Exception):
    """Carries why a conversation cannot be used."""


class Conversation:
    """Reads the field `messages` of a record; with `prompt`, `prompt` and `text` are the last question and answer.

    Left out whole, and said so in `Document.left_out`: conversations in which no assistant speaks, someone unknown
    does, a turn is empty or is no text, a tool is called, or a turn is marked as not to be learnt. Left out of a
    conversation: an empty system turn, and the turns after the last answer. key: the setting that `text` comes from, or
    `messages` where no prompt is given, for messages.
    """

    def __init__(
        self, messages: str, text: str, prompt: str | None, values: Values = ONLY_TEXT, key: str | None = None
    ) -> None:
        self._field = messages
        self._last = None if prompt is None else DocumentTemplate(text, prompt, values, key or "text")
        self._setting = f"{'messages' if self._last else key or 'messages'}={messages!r}"
        self.fields = {messages} | (self._last.fields if self._last else set())

    def render(self, record: Mapping[str, object], place: str, source: str) -> Document:
        """Return the conversation of one record; raises DataError for a missing field or an unknown form."""
        if self._field not in record:
            raise DataError(
                f"{place}: {self._setting} names a field that is missing. The record has: "
                f"{', '.join(record) or 'nothing'}. Correct the record or the setting."
            )
        said = _said(record[self._field], f"{place}: {self._setting}")
        if self._last:
            last = self._last.render(record, place, source)
            said += [{"role": "user", "content": last.prompt.strip()}, {"role": "assistant", "content": last.text}]
        try:
            turns = [_turn(message) for message in said]
        except _LeftOutError as reason:
            return Document(source=source, left_out=(str(reason),))
        for turn in turns:
            check_characters(turn.text, f"{place}: {self._setting}")
        left_out: list[str] = []
        kept = [turn for turn in turns if turn.text.strip()]
        if len(kept) < len(turns):
            if any(turn.role != "system" for turn in turns if not turn.text.strip()):
                return Document(source=source, left_out=("conversations with an empty turn",))
            left_out += ["empty system turns"] * (len(turns) - len(kept))
        answers = [i for i, turn in enumerate(kept) if turn.role == "assistant"]
        if not answers:
            return Document(source=source, left_out=(*left_out, "conversations without an assistant turn"))
        left_out += ["turns after the last answer"] * (len(kept) - answers[-1] - 1)
        return Document(source=source, turns=tuple(kept[: answers[-1] + 1]), left_out=tuple(left_out))


def _said(value: object, place: str) -> list[Mapping[str, object]]:
    """Return the messages of any known form as mappings."""
    if isinstance(value, str) and (pieces := _TRANSCRIPT.split(value))[1:] and not pieces[0].strip():
        return [{"role": r, "content": c} for r, c in zip(pieces[1::2], pieces[2::2], strict=True)]
    if value is None:
        return []
    if isinstance(value, list):
        if all(isinstance(item, Mapping) for item in value):
            return list(value)
        if all(isinstance(item, list) and len(item) == 2 for item in value):
            value = [text for pair in value for text in pair]
        if all(isinstance(item, str) for item in value):
            return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(value)]
    raise DataError(
        f"{place} is not a conversation, which is a list of {{role, content}}, of {{from, value}}, of texts or of "
        "pairs of texts. Name another field, or set messages=null."
    )


def _turn(message: Mapping[str, object]) -> Part:
    role = message["role"] if "role" in message else message.get("from")
    if role in CALLS or message.get("tool_calls") or message.get("function_call"):
        raise _LeftOutError("conversations with tool calls")
    if message.get("weight") == 0 or message.get("train") is False:
        raise _LeftOutError("conversations with turns that are not to be learnt (weight 0, train false)")
    known = SYNONYMS.get(role.lower()) if isinstance(role, str) else None
    if known is None:
        raise _LeftOutError("conversations with an unknown role")
    return Part(known, _content(message["content"] if "content" in message else message.get("value")))


def _content(content: object) -> str:
    if isinstance(content, list):
        return "".join(map(_piece, content))
    if content is None or isinstance(content, str):
        return content or ""
    raise _LeftOutError("conversations with content other than text")


def _piece(piece: object) -> str:
    text = piece.get("text") if isinstance(piece, Mapping) and piece.get("type") == "text" else None
    if not isinstance(text, str):
        raise _LeftOutError("conversations with content other than text")
    return text
