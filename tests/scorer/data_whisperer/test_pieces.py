"""Data Whisperer without a model: golden values, answers by hand, groups, pairs and metrics."""

import json
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from delt_exp.errors import DataError
from delt_exp.scorer.data_whisperer.attention import demonstration_attention
from delt_exp.scorer.data_whisperer.groups import NOBODY, folds, make_groups, regroupings
from delt_exp.scorer.data_whisperer.metrics import agreement, final_answer
from delt_exp.scorer.data_whisperer.pairs import Pair, halves
from delt_exp.scorer.data_whisperer.prompt import written_answers
from delt_exp.scorer.data_whisperer.weighting import candidate_scores, shares

GOLDEN = Path(__file__).parents[4] / "shared" / "golden" / "other" / "data_whisperer.json"
IDS = np.random.default_rng(0).integers(2**63, size=23, dtype=np.uint64)


def scores_of(attention, metrics, members, queries, weighting="attention"):
    attention_GQD, members_GD = np.array(attention, float), np.array(members)
    shares_GQD = shares(attention_GQD, members_GD, weighting)
    metrics_GQ, queries_GQ = np.array(metrics, float), np.array(queries)
    return shares_GQD, candidate_scores(shares_GQD, metrics_GQ, members_GD, queries_GQ, int(members_GD.max()) + 1)


# Golden values


@pytest.mark.skipif(not GOLDEN.exists(), reason="the folder of golden values is not beside the checkout")
def test_attention_weights_and_scores_are_the_golden_ones():
    golden = json.loads(GOLDEN.read_text())
    raw, metrics, members, queries = [], [], [], []
    for prompt in golden["prompts"]:
        length = len(prompt["attention"][0])
        maps_HLL = torch.zeros(len(prompt["attention"]), length, length, dtype=torch.float64)
        for head, rows in enumerate(prompt["attention"]):
            for row, values in enumerate(rows):
                maps_HLL[head, row, : len(values)] = torch.tensor(values, dtype=torch.float64)
        spans = [slice(*span) for span in prompt["demo_spans"]]
        found = demonstration_attention(maps_HLL[:, slice(*prompt["query_span"])], spans).numpy()
        np.testing.assert_allclose(found, prompt["raw"], atol=1e-6)
        absent = 3 - len(found)
        raw.append([[*found, *[0.0] * absent]] * 2)
        members.append([*prompt["members"], *[NOBODY] * absent])
        metrics.append(prompt["metrics"])
        queries.append(prompt["queries"])
    shares_GQD, scores_N = scores_of(raw, metrics, members, queries)
    for prompt, found_QD in zip(golden["prompts"], shares_GQD, strict=True):
        np.testing.assert_allclose(found_QD[0, : len(prompt["weights"])], prompt["weights"], atol=1e-6)
    sizes = np.concatenate([[len(p["members"])] * len(p["members"]) for p in golden["prompts"]])
    np.testing.assert_allclose(scores_N / sizes, golden["scores"], atol=1e-6)  # published without the size


# Answers by hand


def test_a_row_of_attention_by_hand():
    row_HRL = torch.tensor([[[0.1, 0.3, 0.2, 0.2, 0.2]]])
    found = demonstration_attention(row_HRL, [slice(1, 2), slice(2, 4)])
    assert found.tolist() == pytest.approx([0.3, 0.2])
    shares_GQD, scores = scores_of([[found.tolist()] * 2], [[1, 0]], [[0, 1]], [[0, 1]])
    assert shares_GQD[0, 0].tolist() == pytest.approx([0.6, 0.4])
    assert (scores / 2).tolist() == pytest.approx([0.3, 0.2])


def test_uniform_attention_gives_equal_weights_whatever_the_lengths():
    maps_HLL = torch.tril(torch.ones(2, 9, 9))
    maps_HLL /= maps_HLL.sum(-1, keepdim=True)
    found = demonstration_attention(maps_HLL[:, 7:], [slice(1, 2), slice(2, 5), slice(5, 7)])
    np.testing.assert_allclose(found / found.sum(), 1 / 3)


def test_a_constant_metric_has_that_mean_and_a_candidate_alone_has_all_the_weight():
    attention = [[[3.0, 2, 1]] * 2, [[0.7, 0, 0]] * 2]
    shares_GQD, scores = scores_of(attention, [[0.4, 0.4]] * 2, [[0, 1, 2], [3, NOBODY, NOBODY]], [[0, 1]] * 2)
    assert scores[:3].tolist() == pytest.approx([0.4 * 3 / 2, 0.4, 0.4 / 2])
    assert scores[:3].mean() == pytest.approx(0.4)
    assert shares_GQD[1, 0].tolist() == [1, 0, 0]
    assert scores[3] == pytest.approx(0.4)


def test_a_swap_of_demonstrations_with_their_attention_swaps_their_scores():
    _, one = scores_of([[[0.3, 0.2]]], [[0.9]], [[0, 1]], [[0]])
    _, other = scores_of([[[0.2, 0.3]]], [[0.9]], [[1, 0]], [[0]])
    np.testing.assert_allclose(one, other)


@pytest.mark.parametrize("weighting", ["attention", "position", "uniform"])
def test_a_query_that_is_repeated_changes_nothing_and_an_absent_one_neither(weighting):
    other = [[0.6, 0.2]], [0.5], [2, 3], [1]  # a second group, so that positions have a mean

    def scores(attention, metrics, queries):
        width = len(queries)
        parts = [other[0] * width, other[1] * width, other[2], other[3] * width]
        return scores_of(*zip([attention, metrics, [0, 1], queries], parts, strict=True), weighting)[1]

    one = scores([[0.3, 0.2]], [0.9], [0])
    more = scores([[0.3, 0.2]] * 3, [0.9] * 3, [0] * 3)
    absent = scores([[0.3, 0.2], [0, 0]], [0.9, 0.0], [0, NOBODY])  # the judge gives an absent query no attention
    np.testing.assert_allclose(one, more)
    np.testing.assert_allclose(one, absent)


def test_weights_relative_to_their_position_lose_what_position_alone_decides():
    members = [[0, 1], [2, 3]]
    by_position = [[[0.8, 0.2]], [[0.8, 0.2]]]
    shares_GQD, _ = scores_of(by_position, [[1], [1]], members, [[0], [0]], "position")
    np.testing.assert_allclose(shares_GQD, 0.5)
    shares_GQD, _ = scores_of([[[0.9, 0.1]], [[0.6, 0.4]]], [[1], [1]], members, [[0], [0]], "position")
    relative = np.array([0.9 / 0.75, 0.1 / 0.25])
    np.testing.assert_allclose(shares_GQD[0, 0], relative / relative.sum())


def test_uniform_weights_are_one_over_the_size():
    shares_GQD, _ = scores_of([[[0, 0, 0]]] * 2, [[1]] * 2, [[0, 1, 2], [3, 4, NOBODY]], [[0]] * 2, "uniform")
    np.testing.assert_allclose(shares_GQD[:, 0], [[1 / 3] * 3, [0.5, 0.5, 0]])


# Groups


@pytest.mark.parametrize("count", [20, 23, 3, 2])
def test_every_candidate_is_shown_once_in_a_pass_among_others(count):
    for members in regroupings(IDS[:count], 5, 4, seed=0):
        assert sorted(members[members != NOBODY]) == list(range(count))
        assert members.shape == (-(-count // 5), 5)
        for row in members:
            assert (np.diff((row == NOBODY).astype(int)) >= 0).all()
    first, second = regroupings(IDS, 5, 2, seed=0)
    assert {frozenset(row) for row in first.tolist()} != {frozenset(row) for row in second.tolist()}


def test_every_candidate_visits_every_position():
    seen = Counter()
    for members in regroupings(IDS[:20], 5, 5, seed=3):
        seen.update((row, place) for group in members.tolist() for place, row in enumerate(group))
    assert seen == Counter({(row, place): 1 for row in range(20) for place in range(5)})


def test_groups_and_queries_do_not_depend_on_the_order_of_the_rows():
    def named(ids, query_ids):
        groups = make_groups(ids, np.arange(len(ids)), query_ids, np.arange(len(query_ids)), 5, 3, 2, seed=0)
        return [
            ([int(ids[i]) for i in m if i != NOBODY], [int(query_ids[i]) for i in q])
            for m, q in zip(groups.members_GD, groups.queries_GQ, strict=True)
        ]

    queries = IDS[:9] + np.uint64(1)
    assert named(IDS, queries) == named(IDS[::-1].copy(), queries[::-1].copy())
    other = make_groups(IDS, np.arange(23), queries, np.arange(9), 5, 3, 2, seed=1)
    same = make_groups(IDS, np.arange(23), queries, np.arange(9), 5, 3, 2, seed=0)
    assert (other.queries_GQ != same.queries_GQ).any()


def test_no_query_equals_a_member_and_all_that_is_left_is_asked():
    groups = make_groups(IDS[:6], np.arange(6), IDS[:6], np.arange(6), 2, 5, 3, seed=0)
    for members, queries in zip(groups.members_GD, groups.queries_GQ, strict=True):
        assert sorted([*members, *queries[:4]]) == list(range(6))
        assert queries[4] == NOBODY


def test_a_group_without_a_query_other_than_its_members_is_refused():
    with pytest.raises(DataError, match=r"every query equals a demonstration of the group of ids [0-9a-f]{16}"):
        make_groups(IDS[:2], np.arange(2), IDS[:1], np.arange(1), 2, 1, 1, seed=0)


def test_folds_are_halves_without_a_common_document():
    one, other = folds(IDS, seed=0)
    assert sorted([*one, *other]) == list(range(23))
    assert abs(len(one) - len(other)) == 1


def test_groups_of_some_rows_are_those_of_all():
    groups = make_groups(IDS, np.arange(23), IDS[:5] + np.uint64(1), np.arange(5), 5, 3, 2, seed=0)
    some = groups.of(np.array([3, 4]))
    assert 2 <= len(some) <= 4
    assert all({3, 4} & set(row) for row in some.members_GD.tolist())


# Pairs and metrics


def test_a_text_is_cut_at_the_space_nearest_to_its_middle():
    assert halves("one two three four") == Pair("one two", "three four")
    assert halves("abcd") == Pair("ab", "cd")
    assert halves("x") == Pair("", "x")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("12 and 3\n#### 1,575,000", 1575000), ("#### -47", -47), ("#### \u221247", -47), ("#### 7.", 7),
        ("#### $18.50", Fraction(37, 2)), ("#### 1/2", Fraction(1, 2)), ("#### -10/030", Fraction(-1, 3)),
        ("#### .5", Fraction(1, 2)), ("#### -.5", Fraction(-1, 2)), ("#### -$3", -3), ("#### $-3", -3),
        ("#### 3-5", 5), ("#### x-5", 5), ("#### 3 - 5", 5), ("#### 1.5/2", Fraction(3, 4)),
        ("  Some   Words ", "some words"), ("#### No", "no"), ("5 apples", "5 apples"),
    ],
)  # fmt: skip
def test_final_answers_keep_signs_and_fractions_and_lose_separators(text, answer):
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    ("written", "response", "agrees"),
    [
        ("so 2+2=4\n#### 4", "#### 4.0", 1), ("#### 5", "#### 4", 0), ("#### 0.5", "#### 1/2", 1),
        ("#### 0.333", "#### 1/3", 0), ("four", "#### 4", 0), ("so it is 4", "it is 4", 0), ("It  is 4", "it is 4", 1),
        ("2 + 2 is 4, so the answer is 4.", "2+2=4\n#### 4", 1), ("It is 4, not 5.", "#### 4", 0),
    ],
)  # fmt: skip
def test_the_last_number_of_an_answer_counts_where_the_response_alone_has_a_mark(written, response, agrees):
    assert agreement("exact", written, response) == agrees


@pytest.mark.slow
def test_agreement_of_rouge_by_hand():
    assert agreement("rouge_l", "the cats sat", "the cat was sitting") == pytest.approx(
        2 * (2 / 3 * 2 / 4) / (2 / 3 + 2 / 4)
    )


def test_answers_of_several_queries_are_told_apart_by_their_number():
    assert written_answers(" a\nOutput 3: c\nOutput 2: b\nOutput 2: again", 3) == ["a", "b", "c"]
    assert written_answers("a\n\nInput: another", 1) == ["a"]
    assert written_answers("a", 2) == ["a", ""]
