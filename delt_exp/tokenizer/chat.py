"""Conversations as the text a chat model reads: the tokenizer's own chat template, with the assistant's turns marked.

The template is applied to the whole conversation, as `apply_chat_template` of `transformers` does, so the ids are those
that the model was tuned on, but for two things. A special token written out in a turn stays text: nobody can end a turn
by quoting its end. And the conversation begins after the begin token and ends before the end-of-text token, which every
document gets.

Predicted is what an assistant wrote and the end of its turn: up to the first special token after it, or, where the
template has none there, all that it puts after this turn. Where a turn begins and ends is found by rendering
placeholders for its text.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from delt_exp.dataset.base import Part
from delt_exp.errors import DataError
from delt_exp.tokenizer.span import Span

# For tokenizers without a template: every answer ends with the end-of-text token.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message.role | capitalize }}:\n{{ message.content }}"
    "{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:\n{% endif %}"
)
# A template that asks for the date gets the one of Llama 3: the same conversation is the same tokens on any day.
DATE = "26 Jul 2024"
FIXED_DATE = "{%- macro strftime_now(format) %}" + DATE + "{%- endmacro %}"
PLACEHOLDER = "\ue000{}\ue001"  # private characters, which no template looks at


class ChatTemplate:
    """The chat template of a `transformers` tokenizer, or PLAIN_TEMPLATE where it has none."""

    def __init__(self, tokenizer: Any, begin_id: int) -> None:
        self.tokenizer, self.begin_id = tokenizer, begin_id
        own = tokenizer.chat_template
        self.template = own.get("default") if isinstance(own, dict) else own
        self.template = self.template or PLAIN_TEMPLATE
        if "strftime_now" in self.template:
            self.template = FIXED_DATE + self.template
        self.special = {str(token): i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        longest_first = sorted(self.special, key=len, reverse=True)
        self._special = re.compile("(" + ("|".join(map(re.escape, longest_first)) or r"(?!)") + ")")  # none: no match
        self.markup = lru_cache(maxsize=4096)(self._markup)  # it depends on the roles alone

    def spans(self, turns: Sequence[Part]) -> list[Span]:
        """Return the spans of a conversation; raises DataError for one that the template refuses or changes."""
        markup = self.markup(tuple(turn.role for turn in turns))
        texts = self._texts(turns, markup)
        spans = self._spans_of(markup[0], 0)
        for i, text in enumerate(texts):
            is_answer = turns[i].is_predicted
            end = self._end_of_turn(tuple(turn.role for turn in turns[: i + 1]), markup[i + 1]) if is_answer else 0
            spans += [Span(text, is_answer), *self._spans_of(markup[i + 1], end)]
        return self._inner(spans)

    def prompt(self, turns: Sequence[Part]) -> list[Span]:
        """Return a conversation that the assistant is to continue: whole, and nothing of it predicted.

        Raises DataError as `spans` does.
        """
        markup = self._markup(tuple(turn.role for turn in turns), is_prompt=True)
        spans = self._spans_of(markup[0], 0)
        for text, after in zip(self._texts(turns, markup, is_prompt=True), markup[1:], strict=True):
            spans += [Span(text, False), *self._spans_of(after, 0)]
        return spans

    def _markup(self, roles: tuple[str, ...], is_prompt: bool = False) -> list[str]:
        """Return what the template writes before, between and after the turns of these roles."""
        marks = [PLACEHOLDER.format(i) for i in range(len(roles))]
        rendered = self._render([Part(role, mark) for role, mark in zip(roles, marks, strict=True)], is_prompt)
        pieces = re.split("|".join(map(re.escape, marks)), rendered)
        if re.findall("|".join(map(re.escape, marks)), rendered) != marks:
            raise DataError(
                f"the chat template does not write every turn of {', '.join(roles)} once and in order. "
                "Use tokenizer.chat_template=plain, or leave such conversations out."
            )
        return pieces

    def _texts(self, turns: Sequence[Part], markup: list[str], is_prompt: bool = False) -> list[str]:
        """Return the turns as the template writes them: many strip white space."""
        rendered, texts = self._render(turns, is_prompt), [turn.text for turn in turns]
        if rendered == markup[0] + "".join(text + mark for text, mark in zip(texts, markup[1:], strict=True)):
            return texts
        found = re.fullmatch("(.*?)".join(map(re.escape, markup)), rendered, re.DOTALL)
        if found is None:
            raise DataError(
                f"the chat template changes the conversation that begins {texts[0][:60]!r}: what it writes around "
                "the turns is not the same as for other conversations. Use tokenizer.chat_template=plain, or leave "
                "it out."
            )
        return list(found.groups())

    def _end_of_turn(self, roles: tuple[str, ...], after: str) -> int:
        """Return how many characters of the markup `after` a turn are its end."""
        own = self.markup(roles)[-1]  # what stands there when the conversation ends with this turn
        end = next((i for i, (a, b) in enumerate(zip(own, after, strict=False)) if a != b), min(len(own), len(after)))
        special = self._special.search(after)
        return special.end() if special and special.end() <= end else end

    def _spans_of(self, markup: str, end: int) -> list[Span]:
        """Return markup as spans, special tokens apart, its first `end` characters predicted."""
        spans = []
        for text, is_predicted in ((markup[:end], True), (markup[end:], False)):
            pieces = self._special.split(text)
            spans += [Span(piece, is_predicted, self.special.get(piece)) for piece in pieces if piece]
        return spans

    def _inner(self, spans: list[Span]) -> list[Span]:
        """Cut what every document gets: the begin token, the end-of-text token, and what follows the last answer."""
        while spans and not spans[-1].is_predicted:
            spans.pop()
        if spans[-1].token_id == self.tokenizer.eos_token_id:
            spans.pop()
        return spans[1:] if spans[0].token_id == self.begin_id else spans

    def _render(self, turns: Sequence[Part], is_prompt: bool = False) -> str:
        from jinja2.exceptions import TemplateError

        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        try:
            rendered: str = self.tokenizer.apply_chat_template(
                messages, chat_template=self.template, tokenize=False, date_string=DATE,
                add_generation_prompt=is_prompt,
            )  # fmt: skip
        except TemplateError as error:
            raise DataError(
                f"the chat template rejects a conversation of {', '.join(turn.role for turn in turns)}: {error}. "
                "Use tokenizer.chat_template=plain, or leave such conversations out."
            ) from error
        return rendered
