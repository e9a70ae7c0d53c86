"""A score's agreement with itself: which pairs of runs count, and what they say."""

from dataclasses import replace

import numpy as np
import pytest

from delt_exp.errors import ConfigError, DataError
from delt_exp.quantity import Ranged
from delt_exp.study.record import PlannedRun, StudyRecord
from delt_exp.study.stability import StabilityReport
from tests.study.comparison.studies import Planted, write_run

REPORT = StabilityReport(dimensions=["proxy", "target"], overlap_ratio=0.5, alpha=0.05)
UP = np.arange(40.0)


def study_of(folder, runs, keys=()):
    """runs: (scorer, proxy, target, seed) -> scores [40]; keys: of the scorings, in the order of the runs."""
    planned = []
    for number, ((scorer, proxy, target, seed), scores) in enumerate(runs.items()):
        labels = {"scorer": scorer, "proxy": proxy, "target": target}
        key = {"key": keys[number]} if keys else {}
        planted_run = Planted(
            labels, scores=lambda _, s=scores: s, change=lambda record, k=key: record["stages"][1].update(k)
        )
        write_run(folder / str(number), planted_run, seed, 5)
        planned.append(PlannedRun(labels, seed, [], ["all"], str(folder / str(number)), None))
    return StudyRecord(folder, "stability", "Does it?", {}, planned, [])


def rows_of(study, report=REPORT):
    return {(row[0], row[1]): row[2:] for row in report.findings(study).tables[0].rows}


def test_runs_that_differ_in_one_thing_are_compared_and_no_others(tmp_path):
    half = np.concatenate([UP[20:], UP[:20]])  # no document of the better half stays there
    rows = rows_of(study_of(tmp_path, {
        ("lqs", "young", "news", 0): UP,
        ("lqs", "young", "news", 1): UP**3,  # the same ranks
        ("lqs", "old", "news", 0): half,
        ("lqs", "young", "law", 0): -UP,
        ("lqs", "old", "law", 1): np.random.default_rng(0).random(40),  # differs from all in two things or more
    }))  # fmt: skip
    assert rows["lqs", "seed"] == [1.0, 1.0, 1]
    assert rows["lqs", "target"] == [-1.0, 0.0, 1]
    # sum of squared rank differences: 40 documents by 20 places each
    assert rows["lqs", "proxy"] == [pytest.approx(1 - 6 * 40 * 20**2 / (40 * (40**2 - 1))), 0.0, 1]


def test_several_seeds_give_an_interval_over_seeds(tmp_path):
    runs = {}
    for seed in range(4):
        rng = np.random.default_rng(seed)
        runs["lqs", "young", "news", seed] = UP
        runs["lqs", "old", "news", seed] = UP + rng.normal(0, 8, 40)
    rows = rows_of(study_of(tmp_path, runs))
    spearman, overlap, pairs = rows["lqs", "proxy"]
    assert isinstance(spearman, Ranged)
    assert isinstance(overlap, Ranged)
    assert 0.5 < spearman.low < spearman.value < spearman.high
    assert pairs == 4
    assert isinstance(rows["lqs", "seed"][0], float)  # pairs of seeds are not independent: no interval


def test_intervals_stay_within_what_is_possible(tmp_path):
    orders = [np.argsort(np.random.default_rng(seed).permutation(40) * weight - UP) for seed, weight in
              enumerate((0.1, 1.5, 0.6))]  # fmt: skip
    runs = {("lqs", place, "news", seed): scores.astype(float) for seed, order in enumerate(orders)
            for place, scores in (("young", UP), ("old", np.argsort(order)))}  # fmt: skip
    spearman, overlap, _ = rows_of(study_of(tmp_path, runs))["lqs", "proxy"]
    r_S = np.array([np.corrcoef(UP, np.argsort(order))[0, 1] for order in orders])
    share, half_width = (1 + r_S.mean()) / 2, 4.303 * r_S.std(ddof=1) / 2 / 3**0.5  # t with 2 degrees of freedom
    logit_low, logit_high = (
        np.log(share / (1 - share)) + sign * half_width / (share * (1 - share)) for sign in (-1, 1)
    )
    assert spearman.value == pytest.approx(r_S.mean())
    assert spearman.low == pytest.approx(2 / (1 + np.exp(-logit_low)) - 1, abs=0.03)  # the other end is moved a little
    assert spearman.high == pytest.approx(2 / (1 + np.exp(-logit_high)) - 1, abs=0.03)
    assert -1 < spearman.low < spearman.value < spearman.high < 1
    assert 0 <= overlap.low < overlap.value < overlap.high <= 1


def test_the_answer_says_what_changes_a_score_most_last(tmp_path):
    study = study_of(tmp_path, {
        ("lqs", "young", "news", 0): UP, ("lqs", "young", "news", 1): UP, ("lqs", "young", "law", 0): -UP,
    })  # fmt: skip
    assert REPORT.findings(study).answer.endswith("lqs: 1.00 with another seed, -1.00 with another target.")


def test_runs_that_share_one_scoring_say_not_measured_in_table_answer_and_figure(tmp_path):
    runs = {
        ("lqs", "young", "news", 0): UP, ("lqs", "young", "news", 1): UP, ("lqs", "young", "law", 0): -UP,
    }  # fmt: skip
    findings = REPORT.findings(study_of(tmp_path, runs, keys=["a", "a", "b"]))
    rows = {row[1]: row[2:] for row in findings.tables[0].rows}
    assert rows == {"seed": ["not measured", "not measured", 0], "target": [-1.0, 0.0, 1]}
    assert findings.answer.endswith("lqs: -1.00 with another target, not measured with another seed.")
    assert findings.figures[0].spec["data"][0]["z"] == [[None, -1.0]]


def test_scores_that_are_all_equal_say_nothing(tmp_path):
    flat = np.ones(40)
    with pytest.raises(DataError, match="no two runs"):
        REPORT.findings(study_of(tmp_path, {("a", "y", "n", 0): flat, ("a", "y", "n", 1): flat}))


def test_a_dimension_that_is_not_varied_is_refused(tmp_path):
    study = study_of(tmp_path, {("lqs", "young", "news", 0): UP})
    with pytest.raises(ConfigError, match="dimensions: corpus"):
        replace(REPORT, dimensions=["corpus"]).findings(study)
