"""Every measure on texts that are counted by hand, and n-grams against sets and dictionaries."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.ngrams.measures import MEASURES, MeasuredText

# measure -> (text, what it is)
KNOWN = {
    "num_words": ("one two\nthree", 3),
    "mean_word_chars": ("a bcd ef", 2),
    "hashes_per_word": ("# a #b c", 2 / 4),
    "ellipses_per_word": ("well... so… yes", 2 / 3),
    "bullet_lines": ("- a\n\n* b\n  • c\nd", 3 / 4),
    "ellipsis_lines": ("a...\nb…\nc.\n\n", 2 / 3),
    "alphabetic_words": ("a 1 2b ! é", 3 / 5),
    "stop_words": ("The cat and the dog of old", 3),
    "duplicate_lines": ("a\nb\n a \n\nc", 1 / 4),
    "duplicate_line_chars": ("aaa\nb\naaa", 3 / 7),
    "duplicate_paragraphs": ("a\nb\n\nc\n \na\nb", 1 / 3),
    "duplicate_paragraph_chars": ("aa\n\nb\n\naa", 2 / 5),
    # "a b" begins words 0, 2 and 5: 2 + 2 + 2 of 8 characters.
    "top_2_gram_chars": ("a b a b cc a b", 6 / 8),
    # "a b a" occurs twice, overlapping: words 0 to 4 of 6.
    "top_3_gram_chars": ("a b a b a c", 5 / 6),
    "top_4_gram_chars": ("a b c d e f", 0),
    "duplicate_5_gram_chars": ("a b c d e x a b c d e", 10 / 11),
    "duplicate_6_gram_chars": ("a b c d e x a b c d e", 0),
    "duplicate_7_gram_chars": ("", 0),
    "duplicate_8_gram_chars": ("a " * 12, 1),
    "duplicate_9_gram_chars": ("a b", 0),
    "duplicate_10_gram_chars": ("a " * 11, 1),
    "num_sentences": ('One. "Two!" Three? 3.5 no', 3),
    "curly_brackets": ("{a} {", 2),
    "lorem_ipsum": ("Lorem Ipsum dolor", 1),
    "terminal_lines": ('a.\nb!\n"c"\nd\n\n', 3 / 4),
    "short_lines": ("a" * 30 + "\n" + "b" * 31, 1 / 2),
}


@pytest.mark.parametrize("name", MEASURES)
def test_the_measure_is_what_a_reader_counts(name):
    text, expected = KNOWN[name]
    assert MEASURES[name](MeasuredText(text)) == pytest.approx(expected)


@pytest.mark.parametrize("name", MEASURES)
def test_a_text_without_a_word_has_every_measure(name):
    assert MEASURES[name](MeasuredText(" \n")) == 0


TEXTS = st.lists(st.sampled_from(["a", "bb", "c"]), max_size=14).map(" ".join)


@given(TEXTS, st.integers(5, 7))
def test_duplicate_n_grams_cover_what_marking_them_one_by_one_covers(text, n):
    words = text.split()
    grams = [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
    marked = {start + k for start, gram in enumerate(grams) if Counter(grams)[gram] > 1 for k in range(n)}
    expected = sum(len(words[k]) for k in marked) / max(sum(map(len, words)), 1)
    assert MEASURES[f"duplicate_{n}_gram_chars"](MeasuredText(text)) == pytest.approx(expected)


@given(TEXTS, st.integers(2, 4))
def test_the_top_n_gram_covers_what_marking_each_of_the_most_frequent_ones_covers(text, n):
    words = text.split()
    starts = [(start, tuple(words[start : start + n])) for start in range(len(words) - n + 1)]
    counts = Counter(gram for _, gram in starts)
    most = max(counts.values(), default=0)
    marked = [{s + k for s, one in starts if one == gram for k in range(n)} for gram in counts if counts[gram] == most]
    covered = max((sum(len(words[k]) for k in places) for places in marked), default=0) if most > 1 else 0
    expected = covered / max(sum(map(len, words)), 1)
    assert MEASURES[f"top_{n}_gram_chars"](MeasuredText(text)) == pytest.approx(expected)


@pytest.mark.parametrize("long", range(40))
def test_of_many_equally_frequent_n_grams_the_one_with_most_characters_counts(long):
    pairs = [("x" * 30 if place == long else f"{place}a", f"{place}b") for place in range(40)]
    words = [word for number, pair in enumerate(pairs * 2) for word in (*pair, f"s{number}")]
    expected = 2 * (30 + len(f"{long}b")) / sum(map(len, words))
    assert MEASURES["top_2_gram_chars"](MeasuredText(" ".join(words))) == pytest.approx(expected)


@given(TEXTS)
def test_shares_are_shares(text):
    for name, measure in MEASURES.items():
        if name.endswith(("chars", "lines", "words")) and name not in ("num_words", "mean_word_chars", "stop_words"):
            assert 0 <= measure(MeasuredText(text)) <= 1
