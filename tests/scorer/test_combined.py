"""Several scores as one: by hand, and only with what can be combined."""

from dataclasses import replace

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.proxy.trained import TrainedProxy
from delt_exp.scorer.combined import CombinedScorer
from delt_exp.scorer.compression import CompressionScorer
from delt_exp.scorer.gradnorm import GradnormScorer
from delt_exp.scorer.length import LengthScorer
from delt_exp.scorer.permuted import PermutedScorer
from delt_exp.scorer.perplexity import PerplexityScorer
from delt_exp.store.evidence import Figure
from tests.helpers import make_pool, tiny_recipe, words

LONG, SHORT = LengthScorer("bytes", True), LengthScorer("bytes", False)
DENSE = CompressionScorer("zlib", 9, True)
TEXTS = ["a", "bbb", "cc", "ddd"]  # 1, 3, 2 and 3 bytes


def combined(weights=None, by="rank", **parts):
    return CombinedScorer(parts, weights, by)


def test_ranks_are_shares_of_worse_documents_and_ties_share_theirs(tmp_path):
    pool = make_pool(tmp_path, TEXTS)
    scorer = combined({"long": 1.0, "again": 2.0}, long=LONG, again=LONG)
    assert scorer.score(pool) == pytest.approx([0, 2.5 / 3, 1 / 3, 2.5 / 3])


def test_z_scores_are_standard_deviations_from_the_mean(tmp_path):
    scorer = combined(by="z", long=LONG, again=LONG)
    # lengths 1 3 2 3: mean 9/4, variance 11/16
    assert scorer.score(make_pool(tmp_path, TEXTS)) == pytest.approx(
        [(x - 9 / 4) / np.sqrt(11 / 16) for x in (1, 3, 2, 3)], rel=1e-6
    )


@pytest.mark.parametrize("by", ["rank", "z"])
def test_directions_are_turned_and_weights_may_be_negative(tmp_path, by):
    def score(weights, **parts):
        return combined(weights, by, **parts).score(make_pool(tmp_path, TEXTS))

    cancelled = score({"long": 1.0, "short": 1.0}, long=LONG, short=SHORT)
    np.testing.assert_allclose(cancelled, cancelled[0], atol=1e-7)
    turned = score({"long": 3.0, "short": -3.0}, long=LONG, short=SHORT)
    assert turned[0] == turned.min()


def test_the_unit_says_the_range_of_the_score():
    assert combined(long=LONG, dense=DENSE).meaning.unit == "mean rank in [0, 1]"
    assert combined({"long": 3.0, "dense": -1.0}, long=LONG, dense=DENSE).meaning.unit == "mean rank in [-1, 1]"
    assert combined(by="z", long=LONG, dense=DENSE).meaning.unit == "standard deviations"


def test_messages_of_a_part_name_its_keys(tmp_path):
    pool = make_pool(tmp_path, words(9))
    norms = GradnormScorer(TrainedProxy(tiny_recipe(), "sample", 1_000, 0), context_tokens=65)
    with pytest.raises(ConfigError, match=r"^scorer.parts.norms.context_tokens=65, but .* has 64 positions"):
        combined(long=LONG, norms=norms).score(pool)


def test_a_weight_counts_against_the_others(tmp_path):
    pool = make_pool(tmp_path, ["a" * 20, "bcdefgh"])  # the first is longer, the second denser
    (first, second) = combined({"long": 3.0, "dense": 1.0}, long=LONG, dense=DENSE).score(pool)
    assert (first, second) == (0.75, 0.25)


def test_a_part_that_says_nothing_is_left_out_with_a_warning(tmp_path):
    pool = make_pool(tmp_path, ["ab", "cd", "ef"])
    assert combined(long=LONG, dense=LONG).score(pool).tolist() == [0, 0, 0]
    pool = make_pool(tmp_path, ["ab", "cdefg"])
    constant = combined(long=LONG, placebo=Constant(1, 1))
    assert constant.score(pool).tolist() == [0, 1]
    assert pool.evidence.contents()["warnings"] == [
        "placebo gives every document the same number and is left out of the combination"
    ]

    by_rounding = combined(long=LONG, placebo=Constant(1, np.nextafter(np.float32(1), 2)))
    assert by_rounding.score(make_pool(tmp_path, ["ab", "cdefg"])).tolist() == [0, 1]
    assert by_rounding.score(make_pool(tmp_path, ["abcdef", "cdefg"])).tolist() == [1, 0]


class Constant(LengthScorer):
    """Every document is worth 1, or nearly."""

    def __init__(self, *values):
        super().__init__("bytes", True)
        object.__setattr__(self, "values", np.array(values, np.float32))

    def score(self, pool):
        return self.values


def test_some_documents_are_ranked_among_all(tmp_path):
    pool = make_pool(tmp_path, TEXTS)
    scorer = combined(long=LONG, dense=DENSE)
    some = replace(pool, chosen=np.array([3, 0]))
    np.testing.assert_array_equal(scorer.score(some), scorer.score(pool)[[3, 0]])


def test_parts_are_scored_once_and_are_stages_of_their_own(tmp_path):
    pool = make_pool(tmp_path, words(9))
    combined(long=LONG, dense=DENSE).score(pool)
    combined({"long": 1.0, "dense": 5.0}, "z", long=LONG, dense=DENSE).score(pool)
    assert [use.cached for use in pool.resources.store.uses] == [False, False, True, True]


def test_needs_and_costs_are_those_of_the_parts(tmp_path):
    pool = make_pool(tmp_path, words(9), words(3, seed=1))
    perplexity = PerplexityScorer(TrainedProxy(tiny_recipe(), "target", 2_000, 0))
    scorer = combined(long=LONG, loss=perplexity, placebo=PermutedScorer(perplexity, 0))
    assert scorer.needs == {"target", "tokens"}
    alone = perplexity.forecast(pool.sizes, pool.resources)
    assert scorer.forecast(pool.sizes, pool.resources) == [
        replace(cost, phase=f"{part}: {cost.phase}") for part in ("loss", "placebo") for cost in alone
    ]


def test_what_parts_show_is_kept_apart_by_their_names(tmp_path):
    """Both leave a table `terms` and a figure of it; the one overwrote that of the other."""
    pool = make_pool(tmp_path, TEXTS)
    combined(one=Showing(1.0), two=Showing(2.0)).score(pool)
    found = pool.evidence.contents()
    assert [*found["tables"]] == ["one_terms", "two_terms"]
    assert [pool.evidence.read_table(f"{part}_terms")["x"].to_pylist() for part in ("one", "two")] == [[1.0], [2.0]]
    assert {name: (figure["table"], figure["title"]) for name, figure in found["figures"].items()} == {
        "one_terms": ("one_terms", "one: Terms"), "two_terms": ("two_terms", "two: Terms"),
    }  # fmt: skip
    assert [*found["phases"]] == ["one: counting", "two: counting"]
    assert found["remarks"] == ["one: seen", "two: seen"]


class Showing(LengthScorer):
    """Lengths, and evidence with a number of its own."""

    def __init__(self, number):
        super().__init__("bytes", number > 1)
        self.number = number

    def score(self, pool):
        with pool.evidence.phase("counting"):
            pool.evidence.table("terms", {"x": [self.number], "y": [0.0]}, "Terms.")
        pool.evidence.figure("terms", Figure("Terms", "terms", "scatter", "x", ("y",), "x", "y"), "Terms.")
        pool.evidence.remark("seen")
        return super().score(pool)


@pytest.mark.parametrize(
    ("parts", "weights", "message"),
    [
        ({"one": LONG}, None, r"scorer.parts has 1 scorers; give at least 2"),
        ({"one": LONG, "Two": DENSE}, None, r"a part called 'Two'; use lower-case letters, digits and underscores"),
        ({"one": LONG, "two": DENSE}, {"one": 1.0}, r"weights are given for one, but the parts are one, two"),
        ({"one": LONG, "two": DENSE}, {"one": 0.0, "two": 0.0}, r"scorer.weights are all 0"),
        ({"one": LONG, "two": DENSE}, {"one": "much", "two": 1.0}, r"CombinedScorer.weights.one="),
    ],
)
def test_parts_and_weights_that_do_not_fit_are_refused(parts, weights, message):
    with pytest.raises(ConfigError, match=message):
        CombinedScorer(parts, weights, "rank")
