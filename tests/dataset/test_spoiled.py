"""Planted documents: how many, which, and what is left of them."""

from collections import Counter

import pytest

from delt_exp.dataset.base import Document, Part
from delt_exp.dataset.spoiled import Spoiled
from delt_exp.dataset.spoiling import BOILERPLATE, SNIPPET_CHARS
from delt_exp.errors import ConfigError, DataError
from tests.helpers import ListDataset


class Texts:
    VERSION = 1

    def __init__(self, texts):
        self.texts = texts

    def documents(self):
        return (Document(text, source="theirs") for text in self.texts)

    def fingerprint(self):
        return str(self.texts)


CLEAN = [f"Document {i} says that the {i}th of many things is as good as any other thing. " * 3 for i in range(100)]
FOUR = ("shuffled", "garbled", "repeated", "other domain")
OTHER = [f"def function_{i}(x):\n    return x + {i}\n" * 40 for i in range(10)]


def spoiled(**changes):
    settings = {
        "dataset": Texts(CLEAN), "other": Texts(OTHER), "ratio": 0.2, "max_documents": None, "kinds": FOUR, "seed": 0,
    }  # fmt: skip
    return Spoiled(**(settings | changes))


def test_a_fifth_is_spoiled_in_equal_parts_and_the_rest_is_untouched():
    documents = list(spoiled().documents())
    counts = Counter(document.source for document in documents)
    assert counts == {"clean": 80, "shuffled": 5, "garbled": 5, "repeated": 5, "other domain": 5}
    assert all(d.text == text for d, text in zip(documents, CLEAN, strict=True) if d.source == "clean")


def test_every_way_does_what_it_says():
    for document, text in zip(spoiled().documents(), CLEAN, strict=True):
        match document.source:
            case "shuffled":
                assert sorted(document.text.split()) == sorted(text.split())
                assert document.text.split() != text.split()
            case "garbled":
                changed = sum(a != b for a, b in zip(document.text, text, strict=True)) / len(text)
                assert 0.25 < changed < 0.5  # 40 % are drawn anew, a few of them as they were
            case "repeated":
                assert document.text[: SNIPPET_CHARS + 1] == document.text[SNIPPET_CHARS + 1 : 2 * SNIPPET_CHARS + 2]
            case "other domain":
                assert document.text.startswith("def function_")
        assert len(document.text) <= len(text)


def test_the_seed_decides_and_nothing_else():
    def kinds(seed):
        return [document.source for document in spoiled(seed=seed).documents()]

    assert list(spoiled().documents()) == list(spoiled().documents())
    assert kinds(0) != kinds(1)


def test_nothing_and_everything_can_be_spoiled():
    assert {document.source for document in spoiled(ratio=0.0).documents()} == {"clean"}
    sources = Counter(document.source for document in spoiled(ratio=1.0, max_documents=40).documents())
    assert sources == {"shuffled": 10, "garbled": 10, "repeated": 10, "other domain": 10}


def test_of_nothing_nothing_is_spoiled():
    assert list(spoiled(dataset=Texts([])).documents()) == []


def test_an_other_domain_that_is_too_small_is_an_error():
    with pytest.raises(DataError, match="the other domain has 10 documents, but 25 are to replace some"):
        list(spoiled(ratio=1.0).documents())


def test_characters_are_swapped_with_their_neighbours():
    for document, text in zip(spoiled(kinds=["swapped"], ratio=1.0).documents(), CLEAN, strict=True):
        pairs = [(document.text[i : i + 2], text[i : i + 2]) for i in range(0, len(text) - 1, 2)]
        assert all(found in (pair, pair[::-1]) for found, pair in pairs)
        assert 0.25 < sum(found != pair for found, pair in pairs) / len(pairs) < 0.6


def test_boilerplate_is_made_of_phrases_and_as_long_as_the_text():
    for document, text in zip(spoiled(kinds=["boilerplate"], ratio=1.0).documents(), CLEAN, strict=True):
        assert len(document.text) == len(text)
        assert set(document.text.split("\n")[:-1]) <= set(BOILERPLATE)


def test_without_the_other_domain_none_of_its_documents_is_read():
    assert len(list(spoiled(other=None, kinds=["shuffled", "boilerplate"], ratio=1.0).documents())) == 100


@pytest.mark.parametrize("kinds", [[], ["shuffled", "shuffled"], ["burnt"]])
def test_kinds_are_known_and_different(kinds):
    with pytest.raises(ConfigError, match=r"kinds"):
        spoiled(kinds=kinds)


def test_a_ratio_above_one_is_refused():
    with pytest.raises(ConfigError, match=r"Spoiled\.ratio=1\.5"):
        spoiled(ratio=1.5)


def test_conversations_are_spoiled_over_all_that_is_predicted_in_them():
    turns = (
        Part("user", "q"),
        Part("assistant", "one two three"),
        Part("user", "q"),
        Part("assistant", "four five six"),
    )
    talks = ListDataset([Document(turns=turns)] * 40)
    spoiled = list(Spoiled(talks, talks, 1.0, None, FOUR, 0).documents())
    assert {document.source for document in spoiled} == {"shuffled", "garbled", "repeated", "other domain"}
    for document in spoiled:
        assert [part.text for part in document.turns[::2]] == ["q", "q"]
        assert all(part.text.strip() for part in document.turns)
        if document.source == "other domain":  # the same talk in another place: its answers run on
            assert "".join(part.text for part in document.turns[1::2]) == "one two three four five si"
