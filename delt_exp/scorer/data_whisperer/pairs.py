"""Documents as pairs of a prompt and a response."""

from collections.abc import Sequence
from typing import NamedTuple

from delt_exp.dataset.base import Part, joined
from delt_exp.tokenizer.base import Tokenizer


class Pair(NamedTuple):
    """What is asked, and what a good answer is."""

    prompt: str
    response: str


def is_plain(parts: Sequence[Part]) -> bool:
    """Return whether a document has neither a prompt nor turns."""
    return len(parts) == 1 and parts[0].role == "text"


def pair_of(parts: Sequence[Part], tokenizer: Tokenizer, context_tokens: int, *, whole: bool = False) -> Pair:
    """Return the pair of a document; a plain one is cut into halves, a conversation at its last assistant turn.

    Of a plain document the first `context_tokens` count; of another, half as many of the prompt and of the response, or
    all with `whole`. The response is empty where the document has none.
    """
    if is_plain(parts):
        return halves(tokenizer.beginning(parts[0].text.strip(), context_tokens))
    last = max((i for i, part in enumerate(parts) if part.is_predicted), default=len(parts))
    sides = joined(parts[:last]) if last else "", parts[last].text if last < len(parts) else ""
    pair = Pair(*(text.strip() for text in sides))
    return pair if whole else Pair(*(tokenizer.beginning(text, side_tokens(context_tokens)).strip() for text in pair))


def side_tokens(context_tokens: int) -> int:
    """Return how many tokens of a prompt or of a response count."""
    return max(context_tokens // 2, 1)


def halves(text: str) -> Pair:
    """Return a text cut at the white space nearest to its middle, at the middle where there is none."""
    middle = len(text) // 2
    spaces = [i for i, character in enumerate(text) if character.isspace()]
    cut = min(spaces, key=lambda i: abs(i - middle), default=middle)
    return Pair(text[:cut].strip(), text[cut:].strip())
