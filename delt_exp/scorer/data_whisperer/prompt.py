"""The prompt: an instruction, demonstrations, the question of a query, and its response.

T tokens, D demonstrations.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from delt_exp.dataset.base import Part
from delt_exp.errors import DataError
from delt_exp.scorer.data_whisperer.pairs import Pair
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.tokenizer.span import Span

ASKED, ANSWERED = "Input:", "Output:"
HERE = "\ue000body\ue001"  # private characters, which stand for the body while the frame is made


@dataclass(frozen=True)
class Frame:
    """What stands before and after the body of a prompt: a begin token, or a user's turn of the chat template."""

    before: tuple[Span, ...]
    after: tuple[Span, ...]


@dataclass(frozen=True, eq=False)
class Prompt:
    """Token ids [T] of one tokenisation, and where its parts stand.

    demonstrations: [D] slices. block: what asks, from the last demonstration to the response. answers: a slice for the
    response of each query. Where the block ends, a judge that writes goes on.
    """

    ids: list[int]
    demonstrations: tuple[slice, ...]
    block: slice
    answers: tuple[slice, ...]

    def asking(self) -> "Prompt":
        """Return the prompt up to where a judge writes: without the responses."""
        return replace(self, ids=self.ids[: self.block.stop], answers=())


def make_frame(tokenizer: Tokenizer) -> Frame:
    """Return the frame of a user's turn in the tokenizer's chat template; the begin token alone where it has none."""
    if not tokenizer.has_chat_template:
        return Frame((Span("", False, tokenizer.begin_id),), ())
    spans = tokenizer.prompt_spans([Part("user", HERE)])
    place = next(i for i, span in enumerate(spans) if HERE in span.text)
    left, right = spans[place].text.split(HERE)
    return Frame((*spans[:place], Span(left, False)), (Span(right, False), *spans[place + 1 :]))


def shown(pair: Pair) -> str:
    """Return a pair as a demonstration."""
    return f"{ASKED} {pair.prompt}\n{ANSWERED} {pair.response}\n\n"


def make_prompt(
    tokenizer: Tokenizer, frame: Frame, instruction: str, demonstrations: Sequence[Pair], queries: Sequence[Pair]
) -> Prompt:
    """Return the prompt that asks one query, or several at once, with the responses at its end.

    It is tokenised as a whole, so that no border between parts decides what its tokens are; a token belongs to the part
    of its last character.
    """
    parts: list[tuple[str, Span]] = [("frame", span) for span in frame.before]
    parts.append(("frame", Span(f"{instruction}\n\n" if instruction else "", False)))
    parts += [(f"demonstration {i}", Span(shown(pair), False)) for i, pair in enumerate(demonstrations)]
    parts += [("block", Span(_questions(queries), False)), *(("block", span) for span in frame.after)]
    parts += _responses(queries, is_turn=bool(frame.after))
    ids, owner_T = tokenizer.encode_marked([span for _, span in parts])
    names_T = np.array([name for name, _ in parts])[owner_T]
    block, answers = _slice(names_T, "block"), [_slice(names_T, f"answer {i}") for i in range(len(queries))]
    for query, answer in zip(queries, answers, strict=True):
        if answer.start == answer.stop:
            raise DataError(f"the judge's tokenizer has no token for the response {query.response!r}; leave it out")
    shown_at = tuple(_slice(names_T, f"demonstration {i}") for i in range(len(demonstrations)))
    return Prompt(ids, shown_at, block, tuple(answers))


def stop_of(count: int) -> str:
    """Return what a judge that writes the answers of `count` queries goes on with after them: another question."""
    return f"\n{ASKED if count == 1 else _numbered(ASKED, 0)}"


def written_answers(text: str, count: int) -> list[str]:
    """Return what a judge wrote as the answer of each of `count` queries; empty where it wrote none."""
    if count == 1:
        return [text.split(stop_of(1))[0].strip().removeprefix(ANSWERED).strip()]
    found = [""] * count
    for piece in f"{_numbered(ANSWERED, 0)}{text}".split(ANSWERED.removesuffix(":"))[1:]:
        number, mark, answer = piece.partition(":")
        if mark and number.strip().isdigit() and 1 <= int(number) <= count:
            found[int(number) - 1] = found[int(number) - 1] or answer.strip()
    return found


def _questions(queries: Sequence[Pair]) -> str:
    if len(queries) == 1:
        return f"{ASKED} {queries[0].prompt}"
    return "\n".join(f"{_numbered(ASKED, i)} {query.prompt}" for i, query in enumerate(queries))


def _responses(queries: Sequence[Pair], *, is_turn: bool) -> list[tuple[str, Span]]:
    """Return the responses; a turn of its own needs no mark in front of a single one."""
    found = [] if is_turn else [("block", Span("\n", False))]
    for i, query in enumerate(queries):
        if len(queries) > 1:
            line = Span(("\n" if i else "") + _numbered(ANSWERED, i), False)
            found.append(("marks" if i else "block", line))  # a later mark stands after a response, so it asks nothing
        elif not is_turn:
            found.append(("block", Span(ANSWERED, False)))
        has_mark = len(queries) > 1 or not is_turn
        found.append((f"answer {i}", Span(f" {query.response}" if has_mark else query.response, True)))
    return found


def _numbered(mark: str, index: int) -> str:
    return f"{mark.removesuffix(':')} {index + 1}:"


def _slice(names_T: NDArray[np.str_], name: str) -> slice:
    places = np.flatnonzero(names_T == name)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)
