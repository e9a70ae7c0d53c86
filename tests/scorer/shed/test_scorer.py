"""SHED as a whole: planted clusters, what it leaves for the reader, refusals and warnings."""

from dataclasses import replace

import numpy as np
import pytest

from delt_exp.encoder.hashing import HashingEncoder
from delt_exp.errors import ConfigError
from delt_exp.model.cost import Sizes
from delt_exp.quantity import Meaning
from delt_exp.scorer.shed.scorer import ShedScorer, apart
from delt_exp.scorer.utility.linear import NeighbourUtility, RidgeUtility
from delt_exp.scorer.utility.trained import RetrainUtility
from tests.helpers import make_pool, tiny_recipe, words

USEFUL = ["the cat sat on the mat with the dog", "stocks fell as banks raised their rates"]
NOISE = "zq xv jk wq vb"


def contract_overrides(folder):
    return ["scorer.num_clusters=5", "scorer.utility.num_labels=2", "encoder=hashing"]


def scorer(**changes):
    base = ShedScorer(HashingEncoder(256, 0), 6, "halves", 2, 20, 0.0, RidgeUtility(2, 0.1, 0), 0)
    return replace(base, **changes)


def texts():
    return [f"{text} {i}" for i in range(10) for text in (*USEFUL, NOISE)]


@pytest.fixture
def pool(tmp_path):
    return make_pool(tmp_path, texts(), [f"{text} {i}" for i in range(20, 30) for text in USEFUL])


@pytest.mark.parametrize("estimator", ["exact", "permutation", "removal", "halves"])
@pytest.mark.parametrize("utility", [RidgeUtility(2, 0.1, 0), NeighbourUtility(2, 1, 0)])
def test_documents_that_resemble_the_target_are_worth_more_than_others(pool, estimator, utility):
    scores = scorer(num_clusters=3, estimator=estimator, groups_of=1, utility=utility).score(pool)
    assert min(scores[0::3].min(), scores[1::3].min()) > scores[2::3].max()


def test_all_documents_of_a_cluster_have_its_value_and_clusters_differ(pool):
    scores = scorer().score(pool)
    table = pool.evidence.read_table("documents").to_pydict()
    assert len(np.unique(scores)) == 6
    for cluster in range(6):
        rows = np.flatnonzero(np.array(table["cluster"]) == cluster)
        assert len(set(scores[rows])) == 1
        assert sum(table["is_proxy"][row] for row in rows) == 1
    assert table["value"] == scores.tolist()


def test_clusters_proxies_and_numbers_are_left_for_the_reader(pool):
    scores = scorer().score(pool)
    clusters = pool.evidence.read_table("clusters").to_pydict()
    assert sum(clusters["documents"]) == 30
    proxies = clusters["proxy_row"]
    assert clusters["proxy_text"] == [texts()[row] for row in proxies]
    assert clusters["value"] == pytest.approx(scores[proxies].tolist(), rel=1e-5)
    assert all(error > 0 for error in clusters["standard_error"])
    numbers = pool.evidence.contents()["numbers"]["valuation"]["values"]
    assert numbers["utility of no proxy"] == pytest.approx(-1.0)  # -|one-hot|^2
    assert 0 <= numbers["reliability of the values"] <= 1
    assert set(pool.evidence.contents()["phases"]) == {"encoding", "clustering", "valuation"}


def test_equal_values_are_kept_apart_in_the_order_of_clusters():
    found = apart(np.array([0.5, 0.0, 0.5, 0.0, 0.5]))
    assert len(np.unique(found)) == 5
    np.testing.assert_allclose(found, [0.5, 0, 0.5, 0, 0.5], atol=1e-6)
    assert found[0] < found[2] < found[4]


def test_exact_values_of_more_than_12_clusters_need_a_closed_form(pool):
    with pytest.raises(ConfigError, match=r"exact with scorer.num_clusters=20 needs 1,048,576 evaluations"):
        scorer(num_clusters=20, estimator="exact")
    many = scorer(num_clusters=20, estimator="exact", utility=NeighbourUtility(2, 3, 0))
    assert np.isfinite(many.score(pool)).all()


def test_groups_of_more_than_all_clusters_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"scorer.groups_of=7 is more than scorer.num_clusters=6"):
        scorer(estimator="removal", groups_of=7)
    small = make_pool(tmp_path, words(4), words(8))
    with pytest.raises(ConfigError, match=r"scorer.groups_of=5 is more than the 4 clusters there are"):
        scorer(estimator="removal", groups_of=5).score(small)


def test_fewer_different_embeddings_than_clusters_are_refused(tmp_path):
    pool = make_pool(tmp_path, words(3) * 4, words(8))
    with pytest.raises(ConfigError, match=r"scorer.num_clusters=6, but 12 documents have only 3 different embeddings"):
        scorer().score(pool)


class Harmful:
    """A utility that falls with every proxy."""

    VERSION = 1
    encodes_target = has_closed_form = False
    needs = frozenset({"target"})
    words = "nothing"

    def check(self, pool):
        pass

    def open(self, pool, proxies, encoder):
        return self

    def of(self, sets):
        return 0.0 - sets.sum(1)

    def forecast(self, sizes, resources, asked):
        return []


class Coin(Harmful):
    """A utility of pure noise."""

    def __init__(self):
        self.draws = np.random.default_rng(0)

    def of(self, sets):
        return self.draws.normal(size=len(sets)) + sets.all(1) * 10


def test_values_that_are_all_equal_are_warned_of(pool):
    """Every proxy harms as much as any other."""
    scorer(estimator="exact", utility=Harmful()).score(pool)
    (warning,) = (text for text in pool.evidence.contents()["warnings"] if "same value" in text)
    assert warning.endswith("the order of their documents means nothing")


def test_training_on_everything_that_does_not_help_is_warned_of(pool):
    scorer(utility=Harmful()).score(pool)
    warnings = pool.evidence.contents()["warnings"]
    assert any("the utility of all proxies, -6, is not above that of none, 0" in one for one in warnings)


def test_values_that_are_mostly_noise_are_warned_of(pool):
    scorer(utility=Coin(), iterations=20, num_clusters=10).score(pool)
    assert any("the ranking is noise" in one for one in pool.evidence.contents()["warnings"])


def test_the_meaning_names_value_and_utility():
    meaning = scorer(estimator="exact").meaning
    assert isinstance(meaning, Meaning)
    assert meaning.name == "Shapley value of the cluster"
    assert "linear head" in meaning.explanation
    names = {one: scorer(estimator=one).meaning.name.split(" of")[0] for one in ("permutation", "removal", "halves")}
    assert names == {"permutation": "Shapley value", "removal": "removal value", "halves": "Banzhaf value"}


@pytest.mark.parametrize(("utility", "encoded"), [(RidgeUtility(2, 0.1, 0), [4, 8, 6, 6]), (Harmful(), [4, 8])])
def test_what_is_encoded_is_forecast(utility, encoded):
    class Listing:
        def forecast(self, sizes, resources):
            return sizes.lengths_N.tolist()

    found = scorer(encoder=Listing(), utility=utility).forecast(Sizes(np.array([4, 8]), 2, 1, None), None)
    assert found[: len(encoded)] == encoded
    assert [cost.phase for cost in found[len(encoded) :]] == ["valuation"] * (len(encoded) > 2)


def test_a_reliability_that_one_iteration_cannot_tell_is_none_and_warns_of_nothing(pool):
    scorer(estimator="permutation", iterations=1).score(pool)
    contents = pool.evidence.contents()
    assert contents["numbers"]["valuation"]["values"]["reliability of the values"] is None
    assert not any("variance of the values" in text for text in contents["warnings"])


def test_more_target_documents_than_there_are_are_refused_before_anything_is_encoded(pool):
    retrain = RetrainUtility(tiny_recipe(), 500, 99, 0)
    with pytest.raises(ConfigError, match=r"scorer.utility.num_target=99 is more than the \d+ documents"):
        scorer(utility=retrain).score(pool)
    assert "encoding" not in pool.evidence.contents()["phases"]
