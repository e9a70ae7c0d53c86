"""Planted near-duplicates: how many, how near, and that the project's own MinHash finds them."""

from collections import Counter

import numpy as np

from delt_exp.dataset.base import Document
from delt_exp.dataset.near_copies import NearCopies
from tests.helpers import ListDataset, words

TEXTS = words(40)


def near_copies(texts=TEXTS, **changes):
    return NearCopies(
        **({"dataset": ListDataset(texts), "ratio": 0.25, "copies": 3, "left_out": 0.2, "seed": 0} | changes)
    )


def test_every_document_stays_and_a_share_of_them_is_followed_by_its_copies():
    documents = list(near_copies().documents())
    assert [one.text for one in documents if one.source != "near copy"] == TEXTS
    assert Counter(one.source for one in documents) == {"once": 30, "original": 10, "near copy": 30}
    for place, one in enumerate(documents):
        if one.source == "original":
            assert [other.source for other in documents[place + 1 : place + 4]] == ["near copy"] * 3


def test_a_copy_has_the_words_in_order_but_for_the_share_left_out():
    text = " ".join(f"w{i}" for i in range(50))
    for one in list(near_copies([text], ratio=1.0).documents())[1:]:
        numbers = [int(word[1:]) for word in one.text.split()]
        assert (len(numbers), numbers) == (40, sorted(numbers))
    kept = {one.text for one in near_copies([text], ratio=1.0).documents()}
    assert len(kept) == 4


def test_at_least_one_word_is_left_out_but_a_single_one_stays():
    assert [one.text for one in near_copies(["a b"], ratio=1.0, left_out=0.01, copies=1).documents()][1] in ("a", "b")
    assert [one.text for one in near_copies(["a"], ratio=1.0, copies=1).documents()] == ["a", "a"]


def test_prompts_stay_and_the_draws_follow_the_seed():
    pair = Document("one two three four", prompt="Which? ")
    copy = list(near_copies([pair], ratio=1.0, copies=1).documents())[1]
    assert (copy.prompt, len(copy.text.split())) == ("Which? ", 3)
    first, again, other = ([one.text for one in near_copies(seed=seed).documents()] for seed in (0, 0, 1))
    assert first == again != other


def test_copies_as_configured_are_near_duplicates_of_their_original():
    """Jaccard similarity of sets of word 5-grams, as MinHash estimates it, of documents of 40 words."""
    rng, similar = np.random.default_rng(0), []
    texts = [" ".join(rng.choice(500, 40).astype(str)) for _ in range(30)]
    documents = [one.text.split() for one in near_copies(texts, ratio=1.0, copies=1, left_out=0.03).documents()]
    for original, copy in zip(documents[::2], documents[1::2], strict=True):
        first, second = ({tuple(one[i : i + 5]) for i in range(len(one) - 4)} for one in (original, copy))
        similar.append(len(first & second) / len(first | second))
    assert np.mean(similar) > 0.7
