"""What rules of thumb for web text measure of a document (Gopher: arXiv:2112.11446, table A1; C4: arXiv:1910.10683).

Words are what white space separates; lines and paragraphs without text do not count. Shares are 0 where there is
nothing to take a share of. T words, n words of an n-gram.
"""

import re
from collections.abc import Callable, Sequence
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from delt_exp.rows.draws import GOLDEN

STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
BULLETS = ("-", "*", "•", "‣", "●", "○", "■", "□", "▪", "–", "—")
ELLIPSES = ("...", "…")
TERMINAL = (".", "!", "?", '"', "”")
SHORT_LINE_CHARS = 30
SENTENCE_END = re.compile(r"[.!?][\"”')\]]*(?:\s|$)")
FACTOR = np.uint64(GOLDEN)


class MeasuredText:
    """A text with what several measures need of it, each made once."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def words(self) -> list[str]:
        return self.text.split()

    @cached_property
    def lines(self) -> list[str]:
        return [line.strip() for line in self.text.splitlines() if line.strip()]

    @cached_property
    def paragraphs(self) -> list[str]:
        return [part.strip() for part in re.split(r"\n\s*\n", self.text) if part.strip()]

    @cached_property
    def word_chars(self) -> NDArray[np.int64]:
        """[T] characters of each word."""
        return np.fromiter(map(len, self.words), np.int64, len(self.words))

    @cached_property
    def word_numbers(self) -> NDArray[np.uint64]:
        """[T] a number for each word, equal for equal words."""
        known: dict[str, int] = {}
        return np.array([known.setdefault(word, len(known) + 1) for word in self.words], np.uint64)

    def repeated(self, n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return which n-gram begins at each word but the last n - 1, and how often each occurs."""
        size = len(self.words) - n + 1
        if size < 2:
            return np.zeros(0, np.intp), np.zeros(0, np.intp)
        grams = np.zeros(size, np.uint64)
        for shift in range(n):
            grams = grams * FACTOR + self.word_numbers[shift : shift + size]
        _, gram, counts = np.unique(grams, return_inverse=True, return_counts=True)
        return gram, counts

    def chars_of_grams(self, gram: NDArray[np.intp], n: int) -> NDArray[np.float64]:
        """Return for each n-gram the characters of the words inside its occurrences, each word counted once.

        gram: which n-gram begins at each word, as `repeated` gives it.
        """
        starts = np.argsort(gram, kind="stable")  # n-gram by n-gram, each from the beginning of the text
        is_first = np.diff(gram[starts], prepend=-1) > 0
        # An occurrence that overlaps the one before adds the words after that one.
        new = np.where(is_first, starts, np.maximum(starts, np.roll(starts, 1) + n))
        before = np.concatenate([[0], np.cumsum(self.word_chars)])
        return np.asarray(np.bincount(gram[starts], before[starts + n] - before[new]), np.float64)

    def share_of_chars(self, starts: NDArray[np.intp], n: int) -> float:
        """Return the share of the words' characters inside n-grams that begin at these words, each counted once."""
        depth = np.bincount(starts, minlength=len(self.words) + 1) - np.bincount(
            starts + n, minlength=len(self.words) + 1
        )
        inside_T = np.cumsum(depth[:-1]) > 0
        return float(self.word_chars[inside_T].sum() / max(self.word_chars.sum(), 1))


def _per(count: float, total: int) -> float:
    return count / total if total else 0.0


def _duplicates(parts: Sequence[str]) -> float:
    return _per(len(parts) - len(set(parts)), len(parts))


def _duplicate_chars(parts: Sequence[str]) -> float:
    total = sum(map(len, parts))
    return _per(total - sum(map(len, set(parts))), total)


def _top_gram(n: int, text: MeasuredText) -> float:
    """Return the share of the most frequent n-gram, of tied ones the largest; 0 where none occurs twice."""
    gram, counts = text.repeated(n)
    if not len(counts) or counts.max() < 2:
        return 0.0
    most = text.chars_of_grams(gram, n)[counts == counts.max()].max()
    return _per(float(most), int(text.word_chars.sum()))


def _duplicate_grams(n: int, text: MeasuredText) -> float:
    gram, counts = text.repeated(n)
    if not len(counts):
        return 0.0
    return text.share_of_chars(np.flatnonzero(counts[gram] > 1), n)


MEASURES: dict[str, Callable[[MeasuredText], float]] = {
    "num_words": lambda t: len(t.words),
    "mean_word_chars": lambda t: _per(int(t.word_chars.sum()), len(t.words)),
    "hashes_per_word": lambda t: _per(t.text.count("#"), len(t.words)),
    "ellipses_per_word": lambda t: _per(sum(t.text.count(mark) for mark in ELLIPSES), len(t.words)),
    "bullet_lines": lambda t: _per(sum(line.startswith(BULLETS) for line in t.lines), len(t.lines)),
    "ellipsis_lines": lambda t: _per(sum(line.endswith(ELLIPSES) for line in t.lines), len(t.lines)),
    "alphabetic_words": lambda t: _per(sum(any(map(str.isalpha, word)) for word in t.words), len(t.words)),
    "stop_words": lambda t: len(STOP_WORDS & {word.lower() for word in t.words}),
    "duplicate_lines": lambda t: _duplicates(t.lines),
    "duplicate_line_chars": lambda t: _duplicate_chars(t.lines),
    "duplicate_paragraphs": lambda t: _duplicates(t.paragraphs),
    "duplicate_paragraph_chars": lambda t: _duplicate_chars(t.paragraphs),
    **{f"top_{n}_gram_chars": partial(_top_gram, n) for n in (2, 3, 4)},
    **{f"duplicate_{n}_gram_chars": partial(_duplicate_grams, n) for n in range(5, 11)},
    "num_sentences": lambda t: len(SENTENCE_END.findall(t.text)),
    "curly_brackets": lambda t: t.text.count("{"),
    "lorem_ipsum": lambda t: t.text.lower().count("lorem ipsum"),
    "terminal_lines": lambda t: _per(sum(line.endswith(TERMINAL) for line in t.lines), len(t.lines)),
    "short_lines": lambda t: _per(sum(len(line) <= SHORT_LINE_CHARS for line in t.lines), len(t.lines)),
}
"""Name of a measure -> what computes it of a text."""
