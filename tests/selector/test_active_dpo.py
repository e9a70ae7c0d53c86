"""active_dpo picks preferences by the gradients of their answers, in rounds, and trains between them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from delt_exp.config.build import CONF
from delt_exp.config.compose import composed
from delt_exp.dataset.base import Document
from delt_exp.errors import ConfigError, DataError
from delt_exp.model.cost import Sizes
from delt_exp.model.lora import Adapters
from delt_exp.preference.features import differences
from delt_exp.proxy.base import ProxyModel
from delt_exp.proxy.trained import TrainedProxy
from delt_exp.rows.candidates import Candidates
from delt_exp.selector.active_dpo import ActiveDpoSelector
from delt_exp.selector.reading import Reading, would_keep
from delt_exp.statistics.d_optimal import greedy_d_optimal
from delt_exp.steps.components import build_components
from delt_exp.steps.costs import selecting_costs, training_costs
from tests.helpers import make_pool, tiny_recipe, words
from tests.preference.test_sampled import answers_of, sevens

PAIRS = [
    Document(text, prompt="q: ", rejected=other) for text, other in zip(words(12), words(12, seed=1)[::-1], strict=True)
]


def selector_of(**changes):
    proxy = TrainedProxy(tiny_recipe(), "sample", 600, seed=0)
    settings = {"k": 4, "per_round": None, "ridge": 1.0, "normalise": "response", "num_features": 64,
                "adapters": None, "precision": "fp32", "answers": None}  # fmt: skip
    return ActiveDpoSelector(proxy=proxy, context_tokens=60, seed=0, **{**settings, **changes})


def reading_of(tmp_path, pairs, trained=None):
    pool = make_pool(tmp_path, pairs)
    seen = pool.candidates.corpus.candidates(np.zeros(len(pairs), np.float32))
    return Reading(pool.candidates, None, pool.resources, seen, trained)


def phi(reading, selector, picks=()):
    model = selector._model(reading, reading.candidates, np.array(picks, np.intp))
    return np.asarray(selector._features(reading.resources, reading.candidates, model)[1])


def test_picks_are_the_d_optimal_ones_of_the_sketches_under_the_proxy(tmp_path):
    reading, selector = reading_of(tmp_path, PAIRS), selector_of()
    rows, _ = greedy_d_optimal(phi(reading, selector), 4, ridge=1.0)
    np.testing.assert_array_equal(selector.select(reading).rows, np.sort(rows))


@pytest.mark.slow
def test_each_round_looks_with_the_model_that_learnt_from_the_picks_and_sees_all_of_them_with_it(tmp_path):
    learnt = []

    def trained(documents, rows):
        learnt.append(np.sort(rows).tolist())
        proxy = TrainedProxy(tiny_recipe(), "sample", 600, seed=len(learnt))
        return proxy.prepare(reading.resources, reading.candidates, None)

    reading = replace(reading_of(tmp_path, PAIRS), trained=trained)
    selector = selector_of(k=5, per_round=2)
    kept = selector.select(reading).rows
    assert len(kept) == 5
    first, _ = greedy_d_optimal(phi(reading, selector), 2, ridge=1.0)
    assert learnt[0] == sorted(first.tolist())
    assert [len(rows) for rows in learnt] == [2, 4]
    assert set(learnt[0]) < set(learnt[1]) < set(kept.tolist())
    learnt.clear()
    features, others = phi(reading, selector, first), np.delete(np.arange(12), np.sort(first))
    second, _ = greedy_d_optimal(features[others], 2, ridge=1.0, labelled_MK=features[np.sort(first)])
    assert {*first.tolist(), *others[second].tolist()} <= set(kept.tolist())


@pytest.mark.slow
def test_the_same_preferences_stay_whatever_the_order_of_the_rows(tmp_path):
    one, other = (reading_of(tmp_path, pairs) for pairs in (PAIRS, PAIRS[::-1]))
    proxy = selector_of().proxy.prepare(one.resources, one.candidates, None)
    fixed = replace(selector_of(), proxy=FixedProxy(proxy))
    kept = [np.sort(reading.seen.ids[fixed.select(reading).rows]) for reading in (one, other)]
    np.testing.assert_array_equal(*kept)


class FixedProxy:
    needs = frozenset()

    def __init__(self, model: ProxyModel) -> None:
        self.prepare = lambda *_: model


@pytest.mark.slow
def test_with_new_answers_the_oracle_labels_the_picks_and_each_keeps_the_answers_it_was_picked_with(tmp_path):
    seen = []

    def trained(documents, rows):
        seen.append((documents, np.sort(rows)))
        return selector.proxy.prepare(reading.resources, reading.candidates, None)

    reading = replace(reading_of(tmp_path, PAIRS), trained=trained)
    selector = selector_of(k=6, per_round=2, answers=answers_of(max_new_tokens=20))
    selection = selector.select(reading)
    assert [len(rows) for _, rows in seen] == [2, 4]
    last = seen[0][0], np.zeros(0, int)
    for documents, rows in [*seen, (selection.documents, selection.rows)]:
        assert len(documents) == len(PAIRS)
        for row in last[1]:  # picked before
            assert documents.corpus.document(int(row)) == last[0].corpus.document(int(row))
        for row in rows:
            document = documents.corpus.document(int(row))
            assert document.prompt == PAIRS[row].prompt
            assert {document.text, document.rejected}.isdisjoint({PAIRS[row].text, PAIRS[row].rejected})
            assert sevens(document.text) >= sevens(document.rejected)
        last = documents, rows
    once_more = selector.select(reading)
    assert once_more.documents.tokens.digest == selection.documents.tokens.digest
    np.testing.assert_array_equal(once_more.rows, selection.rows)


def test_new_answers_need_room_in_the_context():
    with pytest.raises(ConfigError, match=r"selector\.answers\.max_new_tokens=60 leaves no room"):
        selector_of(answers=answers_of(max_new_tokens=60))


def test_a_dry_run_counts_the_training_runs_between_rounds():
    """12 documents of 50 tokens, each side read three times; 5 and then 10 are picked before the last round."""
    choices = ["selector=active_dpo", "selector.k=12", "selector.per_round=5", "objective@model.objective=dpo"]
    parts = build_components(composed(CONF, [*choices, "scorer=random", "training.epochs=3"]))
    sizes = Sizes(np.full(12, 50), 4, 1, SimpleNamespace(vocab_size=257, begin_id=256, eos_id=256))
    costs = {cost.phase: cost.flops for cost in selecting_costs(parts, sizes, read_per_predicted=1.0, paid=[])}
    whole = training_costs(parts, sizes, np.arange(12))[0].flops
    between = [costs["training on 5 picks"], costs["training on 10 picks"]]
    np.testing.assert_allclose(between, [whole * 5 / 12, whole * 10 / 12], rtol=0.01)
    assert selector_of().training_sizes() == []


def test_the_forecast_counts_new_answers_and_the_oracle(tmp_path):
    pool = make_pool(tmp_path, PAIRS)
    phases = [cost.phase for cost in selector_of(answers=answers_of()).forecast(pool.sizes, pool.resources)]
    assert phases == ["warm start", "gradients of preferences", "sampled answers"]


def test_a_pair_is_the_difference_of_unit_gradients_or_a_unit_difference():
    features = np.array([[3.0, 4], [0, 2], [1, 0], [1, 0]])
    np.testing.assert_allclose(differences(features, "response"), [[0.6, -0.2], [0, 0]], atol=1e-7)
    np.testing.assert_allclose(differences(features, "pair"), np.array([[3, 2], [0, 0]]) / np.sqrt(13), atol=1e-7)


def test_an_answer_with_gradient_0_has_no_direction():
    with pytest.raises(DataError, match="gradient of an answer is 0"):
        differences(np.array([[0.0, 0], [1, 0]]), "response")


def test_documents_without_a_rejected_answer_are_refused_before_anything_is_computed(tmp_path):
    reading = reading_of(tmp_path, ["a b", "c d"])
    with pytest.raises(DataError, match="preferences are needed"):
        selector_of().check(reading.candidates, reading.resources.run_tokenizer)


def test_more_picks_than_preferences_are_refused():
    seen = Candidates.ungrouped(np.arange(3, dtype=np.uint64), np.zeros(3, np.float32))
    with pytest.raises(ConfigError, match=r"selector\.k=4 is more than the 3 preferences"):
        would_keep(selector_of(), seen)
    assert len(would_keep(selector_of(k=3), seen)) == 3


def test_a_preference_with_an_answer_longer_than_the_context_is_never_picked(tmp_path):
    long = Document("a" * 70, prompt="q: ", rejected="b")
    reading = reading_of(tmp_path, [long, *PAIRS])
    kept = selector_of(k=12).select(reading).rows
    np.testing.assert_array_equal(kept, np.arange(1, 13))
    with pytest.raises(ConfigError, match="of 13 preferences only 12 have answers that fit 60 tokens"):
        selector_of(k=13).check(reading.candidates, reading.resources.run_tokenizer)


def test_adapters_of_no_layer_are_refused_before_anything_is_trained(tmp_path):
    reading = reading_of(tmp_path, PAIRS)
    selector = selector_of(adapters=Adapters(2, 4.0, 0.0, ["q_proj", "foo"]))
    with pytest.raises(
        ConfigError, match=r"^selector\.adapters\.targets=\['q_proj', 'foo'\]: foo is not a linear layer"
    ):
        selector.check(reading.candidates, reading.resources.run_tokenizer)
    assert not reading.resources.store.uses


@pytest.mark.parametrize("changes", [{"ridge": 0.0}, {"k": 0}, {"per_round": 0}, {"normalise": "length"}])
def test_settings_out_of_their_range_are_refused(changes):
    with pytest.raises(ConfigError, match=next(iter(changes))):
        selector_of(**changes)
