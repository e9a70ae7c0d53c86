"""Planted effects are found, placebos are not; what is missing is said."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from delt_exp.config.build import build
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import read_json, write_json
from delt_exp.study.figures import BLUE
from delt_exp.study.page import write_page
from delt_exp.study.record import read_study
from tests.study.comparison.studies import BASE, Planted, arm, write_study

BASELINE = Planted(BASE)
ARMS = [
    BASELINE,
    arm("lqs", "1.0", "folding", -0.1, scoring_seconds={"scores/a": 5.0, "model/b": 5.5}),
    arm("lqs", "1.0", "sorting", 0.1),
    arm("permuted", "1.0", "folding"),
    arm("random", "1.0", "folding"),
]


def findings(folder):
    study, config = read_study(folder)
    return build(config["report"], "study.report").findings(study)


def rows(found, name):
    """Return the rows of a table as dictionaries."""
    table = next(table for table in found.tables if table.name == name)
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def figure(found, name):
    return next(figure for figure in found.figures if figure.name == name).spec


@pytest.mark.slow
def test_the_leaderboard_has_the_planted_order_and_verdicts(tmp_path):
    board = rows(findings(write_study(tmp_path, ARMS)), "leaderboard")
    assert len(board) == 5
    assert board[0]["arm"] == "lqs · 1.0 · folding"
    assert board[-1]["arm"] == "lqs · 1.0 · sorting"
    verdicts = {row["arm"]: row["verdict"] for row in board}
    assert verdicts == {
        "random · 1.0 · shuffle": "baseline",
        "lqs · 1.0 · folding": "better",
        "lqs · 1.0 · sorting": "worse",
        "permuted · 1.0 · folding": "not distinguishable",
        "random · 1.0 · folding": "not distinguishable",
    }
    best = board[0]
    assert best["minus baseline"].low < -0.1 < best["minus baseline"].high
    assert best["nats/token"].low < best["nats/token"].value < best["nats/token"].high
    assert best["against the placebo"] == "random: better; permuted: better"
    assert board[-1]["against the placebo"] == ""  # sorting has no placebo in this study


@pytest.mark.slow
def test_planned_pairs_are_baseline_placebos_and_order(tmp_path):
    arms = [*ARMS, arm("lqs", "0.5", "folding"), arm("lqs", "0.5", "shuffle")]
    pairs = rows(findings(write_study(tmp_path, arms)), "planned")
    found = {(row["first"], row["second"]) for row in pairs}
    base = "random · 1.0 · shuffle"
    placebos = {("lqs · 1.0 · folding", f"{name} · 1.0 · folding") for name in ("permuted", "random")}
    assert found == {
        *((name, base) for name in ("lqs · 1.0 · folding", "lqs · 1.0 · sorting", "permuted · 1.0 · folding",
                                    "random · 1.0 · folding", "lqs · 0.5 · folding", "lqs · 0.5 · shuffle")),
        *placebos,
        ("lqs · 0.5 · folding", "lqs · 0.5 · shuffle"),
    }  # fmt: skip
    assert len(pairs) == 9  # no pair twice


@pytest.mark.slow
def test_every_pair_of_arms_is_compared_once(tmp_path):
    pairs = rows(findings(write_study(tmp_path, ARMS)), "pairs")
    assert len({frozenset((row["first"], row["second"])) for row in pairs}) == len(pairs) == 10
    assert [row["p"] for row in pairs] == sorted(row["p"] for row in pairs)


@pytest.mark.parametrize(
    ("folding", "placebo", "expected"),
    [
        (-0.1, 0.0, "Yes: lqs · 1.0 · folding is better than random · 1.0 · shuffle"),
        (-0.1, -0.1, "Not shown: lqs · 1.0 · folding is better than random · 1.0 · shuffle"),
        (0.0, 0.0, "Not shown: lqs · 1.0 · folding is not distinguishable from random · 1.0 · shuffle"),
        (0.1, 0.0, "No: the best such arm, lqs · 1.0 · folding, is worse than random · 1.0 · shuffle"),
    ],
)
def test_the_answer_tells_an_effect_from_a_placebo_from_nothing(tmp_path, folding, placebo, expected):
    arms = [BASELINE, arm("lqs", "1.0", "folding", folding), arm("permuted", "1.0", "folding", placebo)]
    assert findings(write_study(tmp_path, arms)).answer.startswith(expected)


@pytest.mark.slow
def test_a_gain_of_the_selection_is_not_one_of_the_order(tmp_path):
    selected = [arm("lqs", "0.5", "shuffle", -0.1), arm("permuted", "0.5", "folding")]
    found = findings(write_study(tmp_path, [BASELINE, *selected, arm("lqs", "0.5", "folding", -0.1)]))
    assert "but not than the same arm in shuffle order." in found.answer
    found = findings(write_study(tmp_path / "b", [BASELINE, *selected, arm("lqs", "0.5", "folding", -0.2)]))
    assert "and than the same arm with permuted scores and in shuffle order." in found.answer


def test_an_effect_without_a_placebo_is_said_to_be_untested(tmp_path):
    answer = findings(write_study(tmp_path, ARMS[:2])).answer
    assert answer.startswith("Yes: ")
    assert "; the study plans no placebo of it." in answer


def test_an_effect_whose_placebo_is_still_to_be_run_is_not_shown_yet(tmp_path):
    """A control of the order is no placebo of the score."""
    arms = [BASELINE, arm("lqs", "0.5", "shuffle"), arm("lqs", "0.5", "folding", -0.2)]
    planned = {"scorer": "permuted", "ratio": "0.5", "orderer": "folding"}
    answer = findings(write_study(tmp_path, arms, missing=[planned])).answer
    assert answer.startswith("Not shown yet: lqs · 0.5 · folding is better than")
    assert "but the same arm with permuted scores is not finished." in answer
    assert "it earns its cost" not in answer


@pytest.mark.slow
def test_an_arm_of_the_best_mean_does_not_hide_one_whose_gain_is_shown(tmp_path):
    """What keeps a half gains most, but its placebo gains as much; what keeps 0.7 gains by its score."""
    arms = [
        arm("lqs", "0.5", "folding", -0.3),
        arm("permuted", "0.5", "folding", -0.3),
        arm("lqs", "0.7", "folding", -0.1),
    ]
    answer = findings(write_study(tmp_path, [BASELINE, *arms, arm("permuted", "0.7", "folding")])).answer
    assert answer.startswith("Yes: lqs · 0.7 · folding is better than random · 1.0 · shuffle")
    assert "lqs · 0.5 · folding has the better mean, but a gain of it is not shown." in answer


@pytest.mark.slow
def test_comparisons_that_are_still_to_come_count_in_the_correction(tmp_path):
    """One arm and its placebo are missing: each against the baseline, and the arm against its placebo."""
    zigzag = [{"scorer": scorer, "ratio": "1.0", "orderer": "zigzag"} for scorer in ("lqs", "permuted")]
    whole, part = (
        findings(write_study(tmp_path / name, ARMS, missing=missing)) for name, missing in (("a", []), ("b", zigzag))
    )
    notes = [next(table.note for table in found.tables if table.name == "planned") for found in (whole, part)]
    assert "Holm-corrected (6 comparisons)" in notes[0]
    assert "Holm-corrected (9 comparisons, of which 3 are not finished)" in notes[1]
    first = [rows(found, "planned")[0] for found in (whole, part)]
    assert [row["p (Holm)"] / row["p"] for row in first] == pytest.approx([6, 9])


@pytest.mark.slow
def test_the_heat_map_has_the_differences_where_there_are_arms(tmp_path):
    found = findings(write_study(tmp_path, ARMS))
    (grid,) = figure(found, "heatmap")["data"]
    assert (grid["y"], grid["x"]) == (["lqs", "permuted", "random"], ["folding", "sorting"])
    board = {row["arm"]: row["minus baseline"] for row in rows(found, "leaderboard")}
    assert grid["z"][0] == [board["lqs · 1.0 · folding"].value, board["lqs · 1.0 · sorting"].value]
    assert [row[1] for row in grid["z"][1:]] == [None, None]
    assert [text.endswith("*") for text in grid["text"][0]] == [True, True]
    assert not grid["text"][1][0].endswith("*")
    assert grid["colorscale"][0][1] == BLUE  # blue is the lower end, of the loss the better one
    assert not grid["reversescale"]


def test_what_a_slice_does_not_vary_is_read_from_the_run(tmp_path):
    arms = [BASELINE, *(Planted({"ratio": ratio, "orderer": "folding"}) for ratio in ("0.5", "0.7"))]
    data = figure(findings(write_study(tmp_path, [*arms, arm("permuted", "0.5", "folding")])), "heatmap")["data"]
    assert [grid["y"] for grid in data] == [["lqs", "permuted"], ["lqs"]]


@pytest.mark.slow
def test_a_numeric_dimension_makes_a_curve_in_its_order(tmp_path):
    arms = [
        BASELINE,
        *(arm("lqs", ratio, "shuffle", loss) for ratio, loss in (("0.9", 0.3), ("0.10", 0.1), ("0.5", 0))),
    ]
    spec = figure(findings(write_study(tmp_path, arms, curve="ratio")), "curve")
    (line,) = spec["data"]
    assert (line["name"], line["x"]) == ("lqs · shuffle", [0.1, 0.5, 0.9])
    assert np.argsort(line["y"]).tolist() == [1, 0, 2]
    with pytest.raises(ConfigError, match="'folding' is not a number"):
        findings(write_study(tmp_path / "b", ARMS, curve="orderer"))


def test_arms_with_other_seeds_are_paired_over_those_they_share(tmp_path):
    arms = [BASELINE, arm("lqs", "1.0", "folding", -0.1, seeds=(1, 3, 4)), *ARMS[2:]]
    found = findings(write_study(tmp_path, arms))
    table = next(table for table in found.tables if table.name == "leaderboard")
    assert "lqs · 1.0 · folding has 3 of 5 seeds; pairs are compared over those they share." in table.note
    best = rows(found, "leaderboard")[0]
    assert (best["arm"], best["seeds"], best["verdict"]) == ("lqs · 1.0 · folding", 3, "better")
    assert best["minus baseline"].low < -0.1 < best["minus baseline"].high


def test_arms_without_a_common_seed_are_not_compared(tmp_path):
    arms = [Planted(BASE, seeds=(0, 1)), arm("lqs", "1.0", "folding", seeds=(2, 3))]
    found = findings(write_study(tmp_path, arms))
    assert rows(found, "pairs") == []
    assert "No answer yet: lqs · 1.0 · folding has no seed in common with the baseline." in found.answer
    two = [*arms, arm("lqs", "1.0", "sorting", seeds=(2, 3))]
    (grid,) = figure(findings(write_study(tmp_path / "two", two)), "heatmap")["data"]
    assert grid["z"] == [[None, None]]


def test_one_seed_is_enough_for_a_verdict_on_these_models_and_says_so(tmp_path):
    found = findings(write_study(tmp_path, [Planted(a.labels, a.loss, seeds=(0,)) for a in ARMS], seeds=[0]))
    assert {row["verdict of the first"] for row in rows(found, "pairs")} <= {
        "better (one seed)", "worse (one seed)", "not distinguishable (one seed)",
    }  # fmt: skip
    assert "Only one seed is common" in found.answer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arms", "answer"),
    [
        (ARMS[1:], "No answer yet: the baseline is not finished."),
        ([BASELINE, ARMS[2]], "No answer yet: no arm with folding is finished."),
    ],
)
def test_an_unfinished_study_has_no_answer_but_a_page(tmp_path, arms, answer):
    folder = write_study(tmp_path, arms, missing=[{**BASE, "orderer": "zigzag"}])
    assert answer in write_page(folder).read_text()


def test_one_arm_is_too_few(tmp_path):
    with pytest.raises(DataError, match="fewer than two arms"):
        findings(write_study(tmp_path, [BASELINE]))


@pytest.mark.slow
def test_arms_of_another_budget_are_not_compared_and_that_is_said(tmp_path):
    a_batch_less = arm("lqs", "1.0", "saw", tokens=9_901)  # batches of 2 x 50 in the helper
    found = findings(write_study(tmp_path, [*ARMS, arm("pds", "1.0", "folding", tokens=9_900), a_batch_less]))
    table = next(table for table in found.tables if table.name == "leaderboard")
    assert "pds · 1.0 · folding was trained on 9,900 tokens instead of 10,000 and is not compared." in table.note
    assert len(table.rows) == len(ARMS) + 1


@pytest.mark.slow
def test_panels_are_not_compared_with_each_other(tmp_path):
    def on(domain, planted, loss):
        return Planted({"domain": domain, **planted.labels}, loss)

    arms = [on("maths", BASELINE, 0), on("maths", ARMS[1], -0.1), on("code", BASELINE, 1), on("code", ARMS[1], 1.1)]
    found = findings(write_study(tmp_path, arms, panel="domain"))
    assert "On maths, yes: lqs" in found.answer
    assert "On code, no: the best such arm, lqs" in found.answer
    assert [row["panel"] for row in rows(found, "pairs")].count("maths") == 1
    assert {table.name for table in found.tables} >= {"leaderboard-0", "leaderboard-1"}
    with pytest.raises(ConfigError, match="panel='moon'"):
        findings(write_study(tmp_path / "b", arms, panel="moon"))


@pytest.mark.slow
def test_a_panel_without_a_finished_arm_is_named(tmp_path):
    arms = [replace(one, labels={"task": "news", **one.labels}) for one in ARMS]
    late = [{"task": "law", **BASE}]
    answer = findings(write_study(tmp_path, arms, missing=late, panel="task")).answer
    assert "No arm is finished on law." in answer


@pytest.mark.slow
def test_a_metric_is_compared_over_seeds_and_more_is_better(tmp_path):
    arms = [*ARMS, arm("pds", "1.0", "folding", seeds=(0,))]
    found = findings(write_study(tmp_path, arms, metric="acc"))
    board = rows(found, "leaderboard")
    assert board[0]["arm"] == "lqs · 1.0 · folding"  # planted 0.1 more accuracy
    assert (board[0]["verdict"], board[0]["minus baseline"].value) == ("better", pytest.approx(0.1, abs=0.01))
    assert figure(found, "heatmap")["data"][0]["reversescale"]
    note = next(table.note for table in found.tables if table.name == "leaderboard")
    assert "pds · 1.0 · folding is left out: it has one seed, and acc needs two for an error." in note
    with pytest.raises(DataError, match="has no f1 of evaluation documents"):
        findings(write_study(tmp_path / "b", ARMS, metric="f1"))


@pytest.mark.slow
def test_an_evaluation_set_that_not_all_runs_have_is_left_out(tmp_path):
    arms = [Planted(BASE, sets=("news", "books")), *ARMS[1:]]
    found = findings(write_study(tmp_path, arms))
    assert "books is left out: its documents are not the same in all runs." in found.tables[0].note
    alone = findings(write_study(tmp_path / "b", ARMS))
    assert rows(found, "leaderboard") == rows(alone, "leaderboard")
    with pytest.raises(DataError, match="no evaluation set has the same documents in all runs: books, news"):
        findings(write_study(tmp_path / "c", [Planted(BASE, sets=("books",)), *ARMS[1:]]))


def test_runs_without_losses_name_the_cure(tmp_path):
    folder = write_study(tmp_path, ARMS)
    (tmp_path / "runs" / "arm0-s0" / "losses.parquet").unlink()
    with pytest.raises(DataError, match=r"arm0-s0 has no loss of evaluation documents; .* repeat the study's command"):
        findings(folder)


@pytest.mark.slow
def test_a_run_that_is_listed_twice_counts_once_under_its_first_name(tmp_path):
    folder = write_study(tmp_path, ARMS)
    content = read_json(folder / "study.json")
    content["runs"] += [{**run, "arm": {"other": "name"}} for run in content["runs"]]
    write_json(folder / "study.json", content)
    names = {row["arm"] for row in rows(findings(folder), "leaderboard")}
    assert names == {" · ".join(planted.labels.values()) for planted in ARMS}


@pytest.mark.slow
def test_tables_have_everything_in_full_precision(tmp_path):
    folder = write_study(tmp_path, ARMS)
    write_page(folder)
    with (folder / "tables" / "leaderboard.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 5
    assert float(lines[0]["minus baseline low"]) < float(lines[0]["minus baseline"]) < 0
    assert {file.suffix for file in Path(folder / "tables").iterdir()} == {".csv", ".md", ".tex"}
