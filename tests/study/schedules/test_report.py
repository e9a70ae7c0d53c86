"""A planted interaction of order and schedule is found, and where none is planted none is claimed."""

import json
from dataclasses import replace
from itertools import product

import pytest

from delt_exp.config.build import build
from delt_exp.errors import ConfigError, DataError
from delt_exp.study.page import write_page
from delt_exp.study.record import PlannedRun, read_study
from tests.study.comparison.studies import Planted, write_run, write_study

REPORT = {
    "_target_": "delt_exp.study.schedules.report.ScheduleReport",
    "shuffle": {"scorer": "random", "orderer": "shuffle"},
    "reference": "cosine",
    "placebo": "permuted",
    "alpha": 0.05,
}


def arms(effects, schedules=("cosine", "constant")):
    """Every order under every schedule; effects: (schedule, orderer) -> what its scores change in the loss."""

    def proven(record):
        record["order_verified"] = True

    shuffled = [{"scorer": "random", "orderer": "shuffle", "schedule": one} for one in schedules]
    ordered = [
        {"scorer": scorer, "orderer": orderer, "schedule": schedule}
        for scorer, orderer, schedule in product(("dsir", "permuted"), ("sorting", "folding"), schedules)
    ]
    effect = [effects.get((of["schedule"], of["orderer"]), 0.0) * (of["scorer"] == "dsir") for of in shuffled + ordered]
    return [Planted(of, loss, change=proven) for of, loss in zip(shuffled + ordered, effect, strict=True)]


def findings(folder, **changed):
    return build(REPORT | changed, "study.report").findings(read_study(folder)[0])


def rows(found, name):
    table = next(table for table in found.tables if table.name == name)
    keys = [tuple(reversed(row[0].split(", ", 1))) for row in table.rows]
    return {key: dict(zip(table.columns, row, strict=True)) for key, row in zip(keys, table.rows, strict=True)}


def test_the_power_between_schedules_is_corrected_for_orders_that_are_not_finished(tmp_path):
    def with_seconds(record):
        record["seconds"] = 36.0

    planted = [
        replace(one, change=with_seconds, seeds=() if one.labels["orderer"] == "folding" else one.seeds)
        for one in arms({})
    ]
    report = build(REPORT, "study.report")
    first, *_, between = report.power(read_study(write_study(tmp_path, planted))[0])
    assert "after Holm's correction over 4 comparisons" in first  # two orders under two schedules; placebos are apart
    assert between.startswith("power between schedules: with 5 seeds a change of a gain of ")
    assert "after Holm's correction over 2 comparisons" in between


def test_averaged_weights_are_a_planned_schedule_before_any_run_is_finished(tmp_path):
    overrides = {"wsd": ["averaging=none"], "constant": ["averaging=last_k"]}
    runs = [
        PlannedRun({"schedule": name, "orderer": order, "scorer": "dsir"}, 0, own, [], str(tmp_path / "none"), None)
        for name, own in overrides.items()
        for order in ("sorting", "folding")
    ]
    study = read_study(write_study(tmp_path, arms({})))[0]
    planned = build(REPORT, "study.report")._planned(replace(study, runs=runs))
    assert planned == {"wsd": 2, "constant": 2, "constant, averaged": 2}


@pytest.mark.slow
def test_a_gain_under_one_schedule_alone_is_an_interaction(tmp_path):
    found = findings(write_study(tmp_path, arms({("constant", "sorting"): -0.1})))
    for said in (
        "Yes: in 1 of 2 comparisons the gain differs from that under cosine; clearest, the difference of sorting from",
        "Under constant an order beats shuffling and its placebo (1 of 2 orders do), best sorting -0.",
        "Under cosine no order is shown to beat shuffling",
        "Of 50 runs on 10,000 tokens, 50 are proven",
    ):
        assert said in found.answer
    interaction = rows(found, "interactions")
    assert interaction["constant", "sorting"]["difference [nats/token]"].value == pytest.approx(-0.1, abs=0.01)
    assert [interaction["constant", order]["verdict"] for order in ("sorting", "folding")] == [
        "better", "not distinguishable",
    ]  # fmt: skip


@pytest.mark.slow
def test_an_order_that_does_harm_is_said_to(tmp_path):
    found = findings(write_study(tmp_path, arms({("constant", "sorting"): 0.1, ("constant", "folding"): 0.2})))
    said = "Under constant no order is shown to beat shuffling and its placebo; 2 of 2 are worse than shuffling; best"
    assert f"{said} sorting +0." in found.answer
    assert "Under cosine no order is shown to beat shuffling and its placebo; best" in found.answer


@pytest.mark.slow
def test_a_gain_under_every_schedule_is_none(tmp_path):
    found = findings(write_study(tmp_path, arms({(one, "sorting"): -0.1 for one in ("cosine", "constant")})))
    assert found.answer.startswith("Not shown: no order's gain differs between schedules")
    assert rows(found, "gains")["cosine", "sorting"]["verdict against the placebo"] == "better"


@pytest.mark.slow
def test_orders_of_permuted_scores_win_nothing(tmp_path):
    found = findings(write_study(tmp_path, arms({("constant", "sorting"): -0.1})))
    assert {row["verdict"] for row in rows(found, "placebos").values()} == {"not distinguishable"}


@pytest.mark.slow
def test_averaged_weights_are_a_schedule_of_their_own(tmp_path):
    planted = arms({("constant", "sorting"): -0.1})
    folder = write_study(tmp_path, planted)
    for number, one in enumerate(planted):
        if one.labels["schedule"] == "constant":
            for seed in one.seeds:
                write_run(tmp_path / "other" / f"{number}-{seed}", one, seed, 120)
                other = tmp_path / "other" / f"{number}-{seed}" / "losses.parquet"
                other.rename(tmp_path / "runs" / f"arm{number}-s{seed}" / "losses_averaged.parquet")
    found = findings(folder)
    gains = rows(found, "gains")
    assert set(gains) == set(product(("cosine", "constant", "constant, averaged"), ("sorting", "folding")))
    same = [gains[name, "sorting"]["difference [nats/token]"] for name in ("constant", "constant, averaged")]
    assert same[0] == same[1]  # the same losses were written


@pytest.mark.slow
def test_the_page_shows_the_crossed_answer(tmp_path):
    folder = write_study(tmp_path, arms({("constant", "sorting"): -0.1}), **REPORT)
    page = write_page(folder).read_text()
    assert "Yes: in 1 of 2 comparisons the gain differs from that under cosine" in page
    assert (folder / "tables" / "interactions.csv").exists()


@pytest.mark.slow
def test_a_study_without_any_shuffled_run_says_so(tmp_path):
    ordered = [one for one in arms({}) if one.labels["orderer"] != "shuffle"]
    with pytest.raises(DataError, match="no order and shuffling under one schedule are finished"):
        findings(write_study(tmp_path, ordered))


def test_labels_of_shuffling_that_are_not_two_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="give a label of scorer and one of orderer"):
        build(REPORT | {"shuffle": {"orderer": "shuffle"}}, "study.report")


@pytest.mark.slow
def test_orders_by_two_scorers_are_told_apart_in_table_figure_and_answer(tmp_path):
    planted = arms({("cosine", "sorting"): -0.5})
    by_dsir = [one for one in planted if one.labels["scorer"] == "dsir"]
    planted += [replace(one, labels={**one.labels, "scorer": "lqs"}, loss=0.3) for one in by_dsir]
    found = findings(write_study(tmp_path, planted))
    assert len(rows(found, "gains")) == len(by_dsir) * 2
    drawn = json.dumps(next(one for one in found.figures if one.name == "gains").spec)
    assert "sorting by dsir" in drawn
    assert "sorting by lqs" in drawn
    assert "best sorting by dsir" in found.answer
