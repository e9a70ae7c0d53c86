"""Rules are broken outside of their bounds, and the page can say how often each is."""

import numpy as np
import pytest

from delt_exp.config.build import CONF, build
from delt_exp.config.compose import composed
from delt_exp.errors import ConfigError
from delt_exp.scorer.heuristics import HeuristicsScorer
from tests.helpers import make_pool

PROSE = (
    "The committee met on a cold Tuesday and agreed that nothing more could be done before spring. It was not the "
    "first time. Farmers along the river have been waiting for a bridge since the old one was carried off by ice, "
    "and with every year the way to the market grows longer. One of them offered to build a ferry of his own."
)


def published():
    return build(composed(CONF, ["scorer=heuristics"]).scorer)


def test_a_document_is_counted_for_each_bound_that_it_is_outside_of(tmp_path):
    scorer = HeuristicsScorer({"num_words": [2, 3], "curly_brackets": [None, 0], "num_sentences": [1, None]})
    pool = make_pool(tmp_path, ["a b c.", "a", "a b {", "a { b c d."])
    assert scorer.score(pool).tolist() == [0, 2, 2, 2]
    table = pool.evidence.read_table("rules").to_pydict()
    assert table["rule"] == ["num_words", "curly_brackets", "num_sentences"]
    assert table["documents"] == [2, 2, 2]
    assert table["share"] == [0.5, 0.5, 0.5]
    assert table["least"] == [2, None, 1]
    assert pool.evidence.contents()["remarks"] == ["1 of 4 documents break none of the 3 rules."]


def test_a_bound_itself_is_allowed(tmp_path):
    assert HeuristicsScorer({"num_words": [2, 2]}).score(make_pool(tmp_path, ["a b", "a b c"])).tolist() == [0, 1]


def test_prose_breaks_no_published_rule_and_its_spoiled_copies_do(tmp_path):
    words = PROSE.split()
    texts = [
        PROSE,
        " ".join(words[:8]) + " " + " ".join(words[8:16] * 6),
        " ".join("{#...}" for _ in words),
        "short one",
    ]
    scores = published().score(make_pool(tmp_path, texts))
    assert scores[0] == 0
    assert (scores[1:] > 0).all()


def test_a_rule_that_is_null_is_off(tmp_path):
    rules = dict.fromkeys(published().rules) | {"num_words": [3, None]}
    pool = make_pool(tmp_path, ["a", "a b c"])
    assert HeuristicsScorer(rules).score(pool).tolist() == [1, 0]
    assert pool.evidence.contents()["tables"]["rules"]["rows"] == 1


def test_many_rules_fit_into_one_number(tmp_path):
    everything = {name: [1e9, None] for name in published().rules}
    assert HeuristicsScorer(everything).score(make_pool(tmp_path, ["a"])).tolist() == [len(everything)]
    assert len(everything) < np.finfo(np.float64).nmant


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"num_letters": [1, 2]}, r"scorer.rules.num_letters is not a measure; the measures are num_words, "),
        ({"num_words": [3, 2]}, r"scorer.rules.num_words=\[3, 2\]: give the least and the largest"),
        ({"num_words": [3]}, r"scorer.rules.num_words=\[3\]"),
        ({"num_words": [None, None]}, r"scorer.rules.num_words=\[None, None\]"),
        ({"num_words": None}, "no rule that is switched on"),
        ({}, "no rule that is switched on"),
        ({"num_words": ["a", 2]}, r"HeuristicsScorer.rules.num_words\[0\]="),
    ],
)
def test_rules_that_mean_nothing_are_refused(rules, message):
    with pytest.raises(ConfigError, match=message):
        HeuristicsScorer(rules)
