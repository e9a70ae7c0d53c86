"""A plan is checked against its slow definition, `walk`, and against batches written out by hand."""

from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from delt_exp.corpus.tokens import IGNORED
from delt_exp.dataset.base import Document, Part
from delt_exp.errors import ConfigError, DataError
from delt_exp.steps.costs import read_per_predicted
from delt_exp.trainer.plan import Plan
from delt_exp.trainer.planning import Layout, PlanSettings, make_plan
from delt_exp.trainer.proof.order import walk
from tests.helpers import make_pool

BOS = 257
EOS = 256  # the byte tokenizer's separator; its ids of letters are below


TURNS = (Part("user", "why"), Part("assistant", "so"), Part("user", "and"), Part("assistant", "thus"))


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    texts = ["a", "bcd", Document("xy", prompt="pq"), "efghijkl", Document("z", prompt="longprompt")]
    return make_pool(tmp_path_factory.mktemp("plan"), texts).candidates.tokens


@pytest.fixture(scope="module", params=["begins with the end", "begins with its own token"])
def any_tokens(request, tmp_path_factory):
    """Documents, pairs and a conversation, with a begin token that is the end-of-text token, or another."""
    texts = ["a", "bcd", Document("xy", prompt="pq"), "efghijkl", Document(turns=TURNS)]
    tokens = make_pool(tmp_path_factory.mktemp("any"), texts).candidates.tokens
    if request.param == "begins with its own token":
        tokens.meta["begin_id"] = BOS
    return tokens


def plan_of(tokens, order=None, context_tokens=4, batch_items=2, **changes):
    settings_ = PlanSettings(
        **({"layout": "packed", "epochs": 1, "max_tokens": None, "completion_only": False} | changes)
    )
    order = np.arange(len(tokens)) if order is None else order
    return make_plan(tokens, order, settings_, context_tokens=context_tokens, batch_items=batch_items)


def decode(tokens, ids):
    letters = {}
    for row, text in enumerate(["a", "bcd", "pqxy", "efghijkl", "longpromptz"]):
        letters.update(zip(tokens.document(row).tolist(), text, strict=True))
    return "".join("." if i == IGNORED else letters.get(int(i), "|") for i in ids)


def test_packed_items_are_the_stream_cut_by_hand(tokens):
    plan = plan_of(tokens, order=np.array([0, 1, 2]))
    # the stream: |a|bcd|pqxy|
    items = [plan.item(i) for i in range(plan.num_items)]
    assert [decode(tokens, item.inputs) for item in items] == ["|a|b", "cd|p", "qxy"]
    assert [decode(tokens, item.labels) for item in items] == ["a|bc", "d|pq", "xy|"]
    assert [(item.first, item.last) for item in items] == [(0, 1), (1, 2), (2, 2)]


def test_padded_items_stay_inside_their_document(tokens):
    plan = plan_of(tokens, order=np.array([3, 0]), layout="padded")
    items = [plan.item(i) for i in range(plan.num_items)]
    assert [decode(tokens, item.inputs) for item in items] == ["|efg", "hijk", "l", "|a"]
    assert [decode(tokens, item.labels) for item in items] == ["efgh", "ijkl", "|", "a|"]


def test_prompts_are_read_but_not_predicted(tokens):
    plan = plan_of(tokens, order=np.array([2, 0]), completion_only=True)
    assert [decode(tokens, plan.item(i).labels) for i in range(2)] == ["..xy", "|a|"]
    assert plan.labels_per_step().tolist() == [5]


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    layout=st.sampled_from(get_args(Layout)),
    context=st.integers(1, 9),
    batch=st.integers(1, 3),
    completion_only=st.booleans(),
    data=st.data(),
)
def test_every_item_equals_the_slow_definition(any_tokens, order, layout, context, batch, completion_only, data):
    tokens = any_tokens
    whole = Plan(tokens, np.array(order), layout, context, batch, completion_only, 10**6)
    slow = list(walk(whole))
    num_items = data.draw(st.integers(1, len(slow)))
    plan = Plan(tokens, np.array(order), layout, context, batch, completion_only, num_items)
    for i, (inputs, labels, positions) in enumerate(slow[:num_items]):
        item = plan.item(i)
        np.testing.assert_array_equal(item.positions, positions)
        np.testing.assert_array_equal(item.inputs, inputs)
        np.testing.assert_array_equal(item.labels, labels)
    counts = [int((labels != IGNORED).sum()) for _, labels, _ in slow[:num_items]]
    by_step = [sum(counts[i : i + batch]) for i in range(0, num_items, batch)]
    assert plan.labels_per_step().tolist() == by_step
    spans = [range(plan.item(i).first, plan.item(i).last + 1) for i in range(num_items)]
    assert plan.trained_rows.tolist() == sorted({order[k] for span in spans for k in span})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(5)), layout=st.sampled_from(["packed", "padded"]), context=st.integers(1, 40))
def test_one_epoch_predicts_every_token_and_every_end_once(tokens, order, layout, context):
    plan = plan_of(tokens, order=np.array(order), layout=layout, context_tokens=context, batch_items=1)
    labels = np.concatenate([plan.item(i).labels for i in range(plan.num_items)])
    expected = np.concatenate([[*tokens.document(row), EOS] for row in order])
    np.testing.assert_array_equal(labels, expected)


def test_only_the_tail_of_a_packed_plan_is_short(tokens):
    plan = plan_of(tokens, epochs=3, context_tokens=5)
    lengths = [len(plan.item(i).labels) for i in range(plan.num_items)]
    assert set(lengths[:-1]) == {5}
    assert 0 < lengths[-1] <= 5


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("completion_only", [False, True])
def test_a_token_budget_is_used_up_to_the_last_full_batch(tokens, layout, completion_only):
    plan = plan_of(tokens, layout=layout, completion_only=completion_only, epochs=None, max_tokens=100)
    targets = plan.labels_per_step()
    assert targets.sum() <= 100 < targets.sum() + targets.max() + 8
    assert plan.num_items % plan.batch_items == 0


@pytest.mark.parametrize("layout", ["packed", "packed_isolated", "padded"])
@pytest.mark.parametrize("completion_only", [False, True])
def test_what_a_plan_reads_is_all_that_its_items_hold_predicted_or_not(tokens, layout, completion_only):
    plan = plan_of(tokens, layout=layout, completion_only=completion_only)
    assert plan.positions_read() == sum(len(plan.item(i).inputs) for i in range(plan.num_items))
    assert (plan.positions_read() > plan.labels_per_step().sum()) or not completion_only


@pytest.mark.parametrize("completion_only", [False, True])
def test_a_forecast_of_a_budget_counts_what_is_read_for_each_predicted_token(tokens, completion_only):
    settings = PlanSettings(layout="padded", epochs=1, max_tokens=None, completion_only=completion_only)
    parts = SimpleNamespace(model=SimpleNamespace(objective=SimpleNamespace(rows_per_sample=1)), training=settings)
    plan = plan_of(tokens, layout="padded", completion_only=completion_only, context_tokens=64)
    assert read_per_predicted(parts, tokens) == pytest.approx(plan.positions_read() / plan.labels_per_step().sum())


def test_packed_arms_of_one_budget_see_equally_many_tokens(tokens):
    arms = [plan_of(tokens, order=np.array(o), epochs=None, max_tokens=64) for o in ([0, 1], [3], [4, 2, 0])]
    assert {int(arm.labels_per_step().sum()) for arm in arms} == {64}


def test_equal_sequences_have_equal_digests_however_they_were_chosen(tokens, tmp_path):
    other = make_pool(tmp_path, ["unrelated", "bcd", "a"]).candidates.tokens
    mine, same = plan_of(tokens, order=np.array([0, 1])), plan_of(other, order=np.array([2, 1]))
    assert mine.digest == same.digest
    assert mine.digest != plan_of(tokens, order=np.array([1, 0])).digest
    assert mine.digest != plan_of(tokens, order=np.array([0, 1]), layout="padded", batch_items=1).digest


def test_less_than_one_batch_is_refused(tokens):
    with pytest.raises(DataError, match=r"fewer than one batch of 9.*model\.batch_items"):
        plan_of(tokens, batch_items=9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layout": "folded"}, "packed, packed_isolated, padded"),
        ({"epochs": 1, "max_tokens": 5}, r"both given \(1 and 5\)"),
        ({"epochs": None}, "training.epochs and training.max_tokens are both null"),
        ({"epochs": 0}, "at least 1"),
        ({"epochs": None, "max_tokens": 3}, "less than the 8 tokens of one batch"),
    ],
)
def test_impossible_settings_are_refused(tokens, changes, message):
    with pytest.raises(ConfigError, match=message):
        plan_of(tokens, **changes)


def bos_tokens(tmp_path, texts):
    tokens = make_pool(tmp_path, texts).candidates.tokens
    tokens.meta["begin_id"] = BOS
    return tokens


def test_a_begin_token_of_its_own_is_read_and_never_predicted(tmp_path):
    tokens = bos_tokens(tmp_path, ["a", "bcd"])
    a, (b, c, d) = int(tokens.document(0)[0]), tokens.document(1).tolist()
    item = plan_of(tokens, context_tokens=9, batch_items=1).item(0)
    assert item.inputs.tolist() == [BOS, a, EOS, BOS, b, c, d]
    assert item.labels.tolist() == [a, EOS, IGNORED, b, c, d, EOS]
    padded = plan_of(tokens, layout="padded", context_tokens=9, batch_items=1)
    assert [padded.item(i).inputs.tolist() for i in range(2)] == [[BOS, a], [BOS, b, c, d]]
    assert [padded.item(i).labels.tolist() for i in range(2)] == [[a, EOS], [b, c, d, EOS]]


def test_an_item_of_nothing_but_a_begin_token_holds_no_document(tmp_path):
    plan = plan_of(bos_tokens(tmp_path, ["a", "bcd"]), context_tokens=1, batch_items=3)
    assert plan.item(2).labels.tolist() == [IGNORED]
    assert plan.item(2).first > plan.item(2).last


@pytest.mark.parametrize("completion_only", [False, True])
def test_what_no_assistant_wrote_is_never_predicted(tmp_path, completion_only):
    pool = make_pool(tmp_path, [Document(turns=TURNS), Document("xy", prompt="pq")])
    plan = plan_of(
        pool.candidates.tokens, order=np.array([0]), completion_only=completion_only, context_tokens=200, batch_items=1
    )
    labels = plan.item(0).labels
    assert pool.resources.tokenizer.decode(labels[labels != IGNORED]) == "so<|endoftext|>thus<|endoftext|>"
    assert pool.resources.tokenizer.decode(plan.item(0).inputs) == (
        "<|endoftext|>User:\nwhy\n\nAssistant:\nso<|endoftext|>\n\nUser:\nand\n\nAssistant:\nthus"
    )
