"""The question about a document: token ids that stand before and after its text, and those of the two answers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from delt_exp.dataset.base import Part
from delt_exp.errors import ConfigError
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.tokenizer.span import Span

YES, NO = "yes", "no"
FENCE = "###"
ANSWER = "ANSWER:"
HERE = "\ue000text\ue001"  # private characters, which stand for the text while the prompt is made


class Example(NamedTuple):
    """A solved question: `answer` is YES or NO."""

    text: str
    answer: str


@dataclass(frozen=True)
class Prompt:
    """Token ids before and after the text of a document, and the single tokens that spell each answer."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    yes: tuple[int, ...]
    no: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.before) + len(self.after)

    def around(self, ids: Sequence[int]) -> list[int]:
        """Return the whole prompt about a text of these token ids."""
        return [*self.before, *ids, *self.after]


def make_prompt(tokenizer: Tokenizer, question: str, examples: Sequence[Example]) -> Prompt:
    """Return the question in the chat template of the tokenizer, as plain text where it has none.

    Raises ConfigError where an answer is not one token of the tokenizer, in any spelling.
    """
    sides = _chat_sides if tokenizer.has_chat_template else _plain_sides
    before, after = sides(tokenizer, question, examples)
    return Prompt(tuple(before), tuple(after), spellings(tokenizer, YES), spellings(tokenizer, NO))


def cleaned(text: str) -> str:
    """Return a text without the fences that end it, and without white space around it."""
    return re.sub(f"{FENCE}+", "", text).strip()


def spellings(tokenizer: Tokenizer, answer: str) -> tuple[int, ...]:
    """Return the ids of the single tokens that spell an answer; raises ConfigError where there is none."""
    tried = [space + word for space in ("", " ") for word in (answer, answer.capitalize(), answer.upper())]
    found = {ids[0] for ids in tokenizer.encode(tried) if len(ids) == 1}
    if not found:
        raise ConfigError(
            f"no single token of the judge's tokenizer spells {answer!r} (tried {', '.join(map(repr, tried))}); choose "
            "another judge: judge=smollm2, or judge=pretrained judge.name=..."
        )
    return tuple(sorted(found))


def asked(text: str, question: str) -> str:
    """Return the question about a text."""
    return f"{FENCE}\n{text}\n{FENCE}\n\n{question}\n\nOPTIONS:\n- {YES}\n- {NO}"


def _chat_sides(tokenizer: Tokenizer, question: str, examples: Sequence[Example]) -> tuple[list[int], list[int]]:
    solved = [(Part("user", asked(one.text, question)), Part("assistant", one.answer)) for one in examples]
    turns = [*(turn for pair in solved for turn in pair), Part("user", asked(HERE, question))]
    spans = tokenizer.prompt_spans(turns)
    place = next(i for i, span in enumerate(spans) if HERE in span.text)
    left, right = spans[place].text.split(HERE)
    sides = [[*spans[:place], Span(left, False)], [Span(right, False), *spans[place + 1 :]]]
    (before, _), (after, _) = tokenizer.encode_spans(sides)
    return before, after


def _plain_sides(tokenizer: Tokenizer, question: str, examples: Sequence[Example]) -> tuple[list[int], list[int]]:
    solved = [f"{asked(one.text, question)}\n\n{ANSWER} {one.answer}\n\n" for one in examples]
    left, right = f"{''.join(solved)}{asked(HERE, question)}\n\n{ANSWER}".split(HERE)
    before, after = tokenizer.encode([left, right])
    return [tokenizer.begin_id, *before], after
