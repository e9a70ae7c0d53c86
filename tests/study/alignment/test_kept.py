"""Does alignment foresee which selection wins: studies whose truth is known."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from delt_exp.errors import ConfigError, DataError
from delt_exp.study.alignment.kept import KeptReport
from delt_exp.study.record import PlannedRun, StudyRecord
from tests.study.alignment.test_report import table, write_json_in

REPORT = KeptReport(
    panel="task", share="selector.ratio", metric="loss", baseline={"scorer": "random", "selector.ratio": "1.0"},
    placebos=["random", "permuted"], families={}, alpha=0.05, permutations=200, seed=0,
)  # fmt: skip
TASKS, SEEDS, METHODS = ("news", "noise"), (0, 1, 2), tuple(f"m{number}" for number in range(8))
GAINS = {method: 0.1 * number for number, method in enumerate(METHODS)}
DOCUMENTS = 4


def study(folder, alignment, skipped=()):
    """Write a study of eight methods and a placebo; a run's alignment is `alignment(method, task)`."""
    rng, runs = np.random.default_rng(0), []
    for task in TASKS:
        for scorer, ratio in [("random", "1.0"), ("permuted", "0.2"), *((method, "0.2") for method in METHODS)]:
            for seed in SEEDS:
                if (scorer, task, seed) in skipped:
                    continue
                run = folder / "runs" / f"{task}-{scorer}-{seed}"
                loss = 5.0 - GAINS.get(scorer, 0.0) + rng.normal(0, 0.005)
                write_json_in(run / "record.json", {
                    "training": {"tokens": 1000},
                    "config": {"model": {"batch_items": 1, "context_tokens": 10}},
                    "alignment": [
                        {
                            "metric": metric, "evaluation": name,
                            "trained": {"value": value, "train_seconds": 2.0, "pair_seconds": 0.5},
                        }
                        for metric, value in (alignment(scorer, task) if alignment else {}).items()
                        for name in ("set", "other")
                    ],
                    "stages": [{"stage": "model", "role": "model", "own": True, "cost": {"build_seconds": 7.0}}],

                })  # fmt: skip
                columns = {"dataset": ["set"] * DOCUMENTS, "id": np.arange(DOCUMENTS, dtype=np.uint64)}
                columns |= {"num_tokens": np.full(DOCUMENTS, 10), "sum_nats": np.full(DOCUMENTS, 10 * loss)}
                pq.write_table(pa.table(columns), run / "losses.parquet")
                arm = {"task": task, "scorer": scorer, "selector.ratio": ratio}
                runs.append(PlannedRun(arm, seed, [f"seed={seed}"], ["grid"], str(run), None))
    return StudyRecord(folder / "study", "kept", "Does it?", {}, runs, [])


def tells(method, task):
    """One metric that rises with the gain, one that says nothing."""
    return {"tells": np.exp(GAINS.get(method, 0.0)), "silent": float(hash_of(method))}


def hash_of(method):
    return {name: place for place, name in enumerate(("m4", "m1", "m6", "m0", "m3", "m7", "m2", "m5"))}.get(method, 9)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return REPORT.findings(study(tmp_path_factory.mktemp("kept"), tells))


def test_a_metric_that_rises_with_the_gain_foresees_it_and_a_silent_one_does_not(found):
    tells, silent = table(found, "foresight")
    assert (tells["verdict"], tells["rank correlation"].value) == ("foresees", pytest.approx(1))
    assert (tells["p"], tells["p (Holm)"]) == (pytest.approx(1 / 201), pytest.approx(2 / 201))
    assert silent["verdict"] == "not shown"
    assert found.headline.startswith("Yes, by tells (tells: mean rank correlation 1.00")
    assert "8 methods, 2 tasks, 3 seeds" in found.headline


def test_the_pick_by_alignment_is_compared_with_chance_and_with_training_all(found):
    tells, silent = table(found, "picks")
    assert tells["minus training all"].value == pytest.approx(0, abs=1e-9)
    assert tells["minus one at random"].value == pytest.approx(0.7 - 0.35, abs=0.01)  # gains 0 to 0.7
    assert tells["verdict"] == "better"
    assert silent["minus training all"].value == pytest.approx(0.5 - 0.7, abs=0.02)  # names m5
    assert "loses 0 nats/token against training all" in found.answer


def test_the_pick_is_compared_with_what_gained_elsewhere_and_its_cost_is_told(found):
    """m7 gains most on both tasks, so that nothing beats naming it again; eight methods, two evaluation sets."""
    tells, silent = table(found, "picks")
    assert tells["minus the best on other tasks"].value == pytest.approx(0, abs=1e-9)
    assert silent["minus the best on other tasks"].value == pytest.approx(0.5 - 0.7, abs=0.02)
    assert tells["seconds to align"] == pytest.approx(8 * (2 + 2 * 0.5))
    assert tells["seconds to train"] == pytest.approx(8 * 7)


def test_a_family_counts_once_in_the_correlation_and_its_methods_are_picked_one_by_one(tmp_path):
    """Four like methods that all gain and align most: five of eight ranks are theirs, and one of five with a family."""
    families = {"alike": ["m4", "m5", "m6", "m7"]}
    by_family = replace(REPORT, families=families).findings(study(tmp_path, tells))
    ranks, picked = table(by_family, "foresight"), table(by_family, "picks")
    assert ranks[0]["p"] > 1 / 201  # five choices have 120 orders, eight 40,320
    assert picked[0]["minus training all"].value == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("families", "reason"),
    [
        ({"alike": ["m8", "m9"]}, "alike: none of m8, m9 is a method; there are m0, m1"),
        ({"one": ["m1", "m2"], "two": ["m2", "m3"]}, "one: m2 is in two families"),
    ],
)
def test_families_of_no_method_or_that_overlap_are_refused(tmp_path, families, reason):
    with pytest.raises(ConfigError, match=reason):
        replace(REPORT, families=families).findings(study(tmp_path, tells))


def test_every_task_names_the_best_aligned_and_the_best_trained(found):
    rows = table(found, "tasks")
    assert [(row["task"], row["metric"]) for row in rows[:2]] == [
        ("news · 0.2 kept", "tells"),
        ("noise · 0.2 kept", "tells"),
    ]
    assert {row["best trained"] for row in rows} == {"m7"}
    assert [row["best aligned"] for row in rows] == ["m7", "m7", "m5", "m5"]
    assert len(table(found, "kept")) == len(TASKS) * len(METHODS)  # neither placebos nor the baseline


@pytest.mark.slow
def test_less_gain_with_more_alignment_is_no_foresight(tmp_path):
    found = REPORT.findings(study(tmp_path, lambda method, task: {"tells": -GAINS.get(method, 0.0)}))
    assert found.headline.startswith("Not shown")
    assert "The other way round, more alignment goes with less gain: tells." in found.answer


def test_a_half_finished_seed_is_left_out_and_a_method_that_a_task_lacks_too(tmp_path):
    skipped = [("m3", "noise", seed) for seed in SEEDS] + [(method, "noise", 2) for method in METHODS]
    found = REPORT.findings(study(tmp_path, tells, skipped))
    assert "7 methods, 2 tasks, 2 seeds" in found.headline
    assert "Not in every task yet, and left out: m3." in found.answer


@pytest.mark.slow
def test_runs_without_alignment_and_too_few_methods_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"without alignment; choose some, such as 'alignment=\[unigram,ngram\]'"):
        REPORT.findings(study(tmp_path / "none", None))
    few, some = replace(REPORT, placebos=["random", "permuted", *METHODS[:6]]), study(tmp_path / "few", tells)
    with pytest.raises(DataError, match="2 methods are finished in every task"):
        few.findings(some)
