"""matched keeps random documents whose scores are spread as those that its base keeps."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.proxy.trained import TrainedProxy
from delt_exp.rows.candidates import Candidates
from delt_exp.selector.active_dpo import ActiveDpoSelector
from delt_exp.selector.matched import MatchedSelector, matched_rows
from delt_exp.selector.reading import Reading, Selection, would_keep
from tests.helpers import tiny_recipe

IDS = np.random.default_rng(0).integers(2**64, size=1000, dtype=np.uint64)
SEEN = Candidates.ungrouped(IDS, np.arange(1000, dtype=np.float32))
ROWS = np.array([0, 1, 2, 3, 250, 999])


@dataclass(frozen=True)
class Fixed:
    """Keeps the same rows of any documents."""

    needs: ClassVar = frozenset({"target"})
    k: int = len(ROWS)

    def check(self, candidates, tokenizer):
        raise ConfigError(f"selector.k={self.k} of selector.kind; lower selector.k")

    def count(self, num_candidates):
        return len(ROWS)

    def select(self, reading):
        return Selection(ROWS, reading.candidates)

    def training_sizes(self):
        return [2]

    def forecast(self, sizes, resources):
        return ["a cost"]


def kept(rows, num_bins=10, seed=0):
    return matched_rows(SEEN, rows, num_bins, "documents", seed)


def test_every_stretch_of_scores_gives_as_many_as_the_base_takes_there():
    assert np.bincount(kept(ROWS) // 100, minlength=10).tolist() == [4, 0, 1, 0, 0, 0, 0, 0, 0, 1]


def test_every_document_of_a_stretch_is_as_likely_as_any_other():
    counts = np.zeros(1000)
    for seed in range(400):
        counts[kept(np.arange(25), seed=seed)] += 1
    np.testing.assert_allclose(counts[:100] / 400, 0.25, atol=0.11)  # 5 standard errors
    assert not counts[100:].any()


def test_one_stretch_is_a_random_share_and_one_for_each_document_the_base_itself():
    assert len(kept(ROWS, num_bins=1)) == len(ROWS)
    assert kept(ROWS, num_bins=1).max() > 300
    np.testing.assert_array_equal(kept(ROWS, num_bins=1000), ROWS)


def test_the_same_documents_stay_whatever_the_order_of_the_rows():
    order = np.random.default_rng(1).permutation(1000)
    shuffled = Candidates.ungrouped(IDS[order], SEEN.goodness[order])
    found = matched_rows(shuffled, np.flatnonzero(np.isin(order, ROWS)), 10, "documents", 0)
    np.testing.assert_array_equal(np.sort(IDS[order][found]), np.sort(IDS[kept(ROWS)]))


def test_a_budget_of_tokens_that_no_document_fits_is_an_error():
    num_tokens = np.where(np.arange(1000) == 7, 1, 50)
    seen = Candidates(IDS, SEEN.goodness, np.zeros(1000, np.uint8), [""], num_tokens)
    with pytest.raises(ConfigError, match=r"selector.unit=tokens keeps nothing.*; use selector.unit=documents"):
        matched_rows(seen, np.array([7]), 1, "tokens", 0)
    assert len(matched_rows(seen, np.array([7]), 1, "documents", 0)) == 1


def test_what_it_needs_keeps_and_costs_is_that_of_its_base():
    selector = MatchedSelector(Fixed(), 10, "documents", 0)
    assert (selector.needs, len(would_keep(selector, SEEN))) == (Fixed.needs | {"scores"}, 6)
    assert selector.forecast(None, None) == ["a cost"]
    np.testing.assert_array_equal(selector.select(Reading(None, None, None, SEEN, None)).rows, kept(ROWS))


def test_messages_of_its_base_name_the_keys_of_its_base():
    with pytest.raises(ConfigError, match=r"^selector.base.k=6 of selector.kind; lower selector.base.k$"):
        MatchedSelector(Fixed(), 10, "documents", 0).check(None, None)
    settings = {"k": 9, "per_round": None, "ridge": 1.0, "normalise": "pair", "num_features": 16, "context_tokens": 64}
    proxy = TrainedProxy(tiny_recipe(), "sample", 2_000, 0)
    base = ActiveDpoSelector(proxy, seed=0, adapters=None, precision="fp32", answers=None, **settings)
    with pytest.raises(
        ConfigError, match=r"^selector.base.k=9 is more than the 8 .*; lower selector.base.k to at most 8"
    ):
        MatchedSelector(base, 10, "documents", 0).count(8)


def test_a_base_that_writes_answers_of_its_own_is_refused():
    @dataclass(frozen=True)
    class Writes(Fixed):
        answers: str | None = "sampled"

    with pytest.raises(ConfigError, match=r"selector\.base\.answers=null"):
        MatchedSelector(Writes(), num_bins=10, unit="documents", seed=0).check(None, None)
    with pytest.raises(ConfigError, match=r"lower selector\.base\.k"):
        MatchedSelector(Writes(answers=None), num_bins=10, unit="documents", seed=0).check(None, None)
