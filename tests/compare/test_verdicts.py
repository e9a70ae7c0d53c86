"""Verdicts of whole comparisons: by hand, corrected by hand, and over groups."""

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_ind

from delt_exp.compare.answers import Choice
from delt_exp.compare.arms import read_arms
from delt_exp.compare.verdicts import verdicts
from tests.compare.folders import accuracies, write_folder
from tests.runs import write_jsonl


def compared(tmp_path, *arms, groups=None, alpha=0.05):
    """Verdicts of arms, each {task: its accuracies}."""
    names = [f"m{number}" for number in range(len(arms))]
    for name, tasks in zip(names, arms, strict=True):
        write_folder(tmp_path / name, {task: accuracies(values) for task, values in tasks.items()}, groups=groups)
    return verdicts(read_arms([str(tmp_path / name) for name in names], Choice()), alpha)


def test_a_pair_is_the_paired_t_test(tmp_path):
    (one,) = compared(tmp_path, {"quiz": [0, 0, 0, 1]}, {"quiz": [1, 1, 0, 1]})
    assert one.comparison.p == pytest.approx(2 * student.sf(0.5 / 12**-0.5, 3))
    assert (one.values, one.num_items, one.word) == ((0.75, 0.25), 4, "not distinguishable")


def test_the_direction_of_the_metric_decides_what_better_is(tmp_path):
    random = np.random.default_rng(0)
    base = random.normal(size=50)
    for name, shift in (("a", 0.0), ("b", 0.5)):
        noise = random.normal(size=50) * 0.1
        write_jsonl(tmp_path / f"{name}.jsonl", [{"item": n, "value": x} for n, x in enumerate(base + noise + shift)])
    words = [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]
    found = [verdicts(read_arms(words, Choice(better=better)), 0.05)[0].word for better in ("higher", "lower")]
    assert found == ["better", "worse"]


def test_tasks_are_corrected_after_holm_as_one_family(tmp_path):
    tasks = {"a": [0] * 6 + [1] * 20, "b": [0] * 3 + [1] * 20, "c": [1, 0, 1, 0]}
    better = {"a": [1] * 26, "b": [1] * 23, "c": [1, 0, 0, 1]}
    found = compared(tmp_path, tasks, better)
    (p_a, p_b, p_c) = [one.comparison.p for one in found[1:]]
    assert p_a < p_b < p_c
    assert [one.comparison.p_holm for one in found[1:]] == pytest.approx(
        [3 * p_a, max(3 * p_a, 2 * p_b), max(3 * p_a, 2 * p_b, p_c)]
    )
    assert found[0].comparison.p_holm == found[0].comparison.p  # over all tasks there is one comparison


def test_every_arm_over_all_tasks_is_a_family_of_its_own(tmp_path):
    base = {"a": [0] * 8 + [1] * 20, "b": [0] * 9 + [1] * 20}
    same, other = {"a": [1] * 28, "b": [1] * 29}, {"a": [1] * 4 + [0] * 4 + [1] * 20, "b": base["b"]}
    found = compared(tmp_path, base, same, other)
    overall = [one.comparison for one in found if one.level == "overall"]
    assert overall[0].p_holm == pytest.approx(2 * overall[0].p)
    assert [one.num_comparisons for one in overall] == [2, 2]


def test_a_group_counts_as_one_task_of_the_overall_mean(tmp_path):
    base = {name: [0, 0, 0, 1] for name in "abc"}
    new = {"a": [1, 0, 0, 1], "b": [1, 1, 0, 1], "c": [1, 1, 1, 1]}  # differences 1/4, 1/2, 3/4
    found = compared(tmp_path, base, new, groups={"g": ["a", "b"]})
    values = {one.place: one.comparison.estimate.value for one in found}
    assert values == pytest.approx({"overall": (3 / 8 + 3 / 4) / 2, "g": 3 / 8, "a": 1 / 4, "b": 1 / 2, "c": 3 / 4})


def test_groups_of_groups_weigh_their_members_alike(tmp_path):
    base = {name: [0, 0, 0, 1] for name in "abc"}
    new = {"a": [1, 0, 0, 1], "b": [1, 1, 0, 1], "c": [1, 1, 1, 1]}
    found = compared(tmp_path, base, new, groups={"outer": ["inner", "c"], "inner": ["a", "b"]})
    values = {one.place: one.comparison.estimate.value for one in found}
    assert "outer" not in values  # it is the mean over all
    assert values["overall"] == pytest.approx((3 / 8 + 3 / 4) / 2)


def test_one_group_of_several_is_the_mean_over_all_that_was_asked_for(tmp_path):
    for name, value in (("m0", 0), ("m1", 1)):
        tasks = {task: accuracies([0, value, 0, 1]) for task in "abcd"}
        write_folder(tmp_path / name, tasks, groups={"g": ["a", "b"], "h": ["c", "d"]})
    read = read_arms([str(tmp_path / "m0"), str(tmp_path / "m1")], Choice(tasks=["g"]))
    assert [one.place for one in verdicts(read, 0.05)] == ["overall", "a", "b"]


def test_what_has_other_units_has_no_mean(tmp_path):
    for name, values in (("m0", [0, 1, 0]), ("m1", [1, 1, 0])):
        tasks = {"quiz": accuracies(values), "text": accuracies(values, "my_score")}
        lists = {"text": [{"metric": "my_score", "aggregation": "mean"}]}
        write_folder(tmp_path / name, tasks, lists=lists)
    found = verdicts(read_arms([str(tmp_path / "m0"), str(tmp_path / "m1")], Choice()), 0.05)
    assert [one.place for one in found] == ["quiz", "text"]


def test_seeds_with_the_same_items_are_crossed_and_with_their_own_nested(tmp_path):
    random = np.random.default_rng(0)
    for kind in ("crossed", "nested"):
        for arm, shift in (("a", 0.0), ("b", 1.0)):
            rows = [
                {"seed": seed, "item": f"{seed if kind == 'nested' else ''}{n}", "value": random.normal() + shift}
                for seed in range(3)
                for n in range(20)
            ]
            write_jsonl(tmp_path / f"{kind}-{arm}.jsonl", rows)
        words = [str(tmp_path / f"{kind}-{arm}.jsonl") for arm in "ab"]
        (one,) = verdicts(read_arms(words, Choice(better="higher")), 0.05)
        assert (one.comparison.estimate.over, one.seeds) == ("seeds and documents", [0, 1, 2])
        assert len(one.comparison.estimate.dfs) == (2 if kind == "crossed" else 1)
        assert one.num_items == (20 if kind == "crossed" else 60)


def test_other_seeds_are_welchs_test_where_all_items_are_alike(tmp_path):
    for name, values in (("a", {0: 1.0, 1: 2.0, 2: 6.0}), ("b", {5: 4.0, 6: 5.0})):
        rows = [{"seed": seed, "item": n, "value": value} for seed, value in values.items() for n in range(4)]
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    (one,) = verdicts(read_arms([str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")], Choice(better="higher")), 0.05)
    estimate, welch = one.comparison.estimate, ttest_ind([4.0, 5], [1.0, 2, 6], equal_var=False)
    assert estimate.value / estimate.stderr == pytest.approx(welch.statistic)
    assert estimate.df == pytest.approx(welch.df)
    assert one.values == (4.5, 3)


def test_nothing_that_varies_leaves_nothing_to_detect(tmp_path):
    (one,) = compared(tmp_path, {"quiz": [0, 0, 0]}, {"quiz": [1, 1, 1]})
    assert (one.smallest, one.word) == (None, "not distinguishable")
