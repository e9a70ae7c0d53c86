"""A random share: how many, which, and what a draw depends on."""

import pytest

from delt_exp.dataset.base import Document, EmptyFile
from delt_exp.dataset.random_share import RandomShare
from delt_exp.errors import ConfigError
from tests.helpers import ListDataset

TEXTS = [f"document {n}" for n in range(2000)]


def texts(share, seed=0, items=TEXTS):
    return [document.text for document in RandomShare(ListDataset(items), share, seed).documents()]


def test_a_share_of_the_documents_stays_in_order_within_the_noise_of_its_draws():
    for share in (0.1, 0.5, 0.9):
        kept = texts(share)
        assert abs(len(kept) - 2000 * share) < 4 * (2000 * share * (1 - share)) ** 0.5
        assert kept == [text for text in TEXTS if text in set(kept)]
    assert texts(1.0) == TEXTS


def test_a_larger_share_has_all_that_a_smaller_one_has():
    assert set(texts(0.2)) < set(texts(0.5)) < set(texts(0.6))


def test_seeds_draw_independently():
    common = set(texts(0.5, seed=0)) & set(texts(0.5, seed=1))
    assert abs(len(common) - 500) < 4 * (2000 * 0.25 * 0.75) ** 0.5


def test_a_draw_depends_on_the_content_alone():
    kept = set(texts(0.5))
    assert texts(0.5, items=TEXTS[::-1]) == [text for text in TEXTS[::-1] if text in kept]
    assert texts(0.5, items=[*TEXTS, *TEXTS]) == 2 * texts(0.5)


def test_an_answer_that_differs_is_another_draw():
    pairs = [Document("same", rejected=text) for text in TEXTS]
    assert 0 < len(list(RandomShare(ListDataset(pairs), 0.5, 0).documents())) < 2000


def test_files_without_a_record_are_still_counted():
    items = [EmptyFile(), *TEXTS[:3]]
    assert list(RandomShare(ListDataset(items), 1e-9, 0).documents()) == [EmptyFile()]


@pytest.mark.parametrize("share", [0.0, 1.5, "half"])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ConfigError, match="share"):
        RandomShare(ListDataset(TEXTS), share, 0)
