"""The map of methods: planted gains are found and placebos are not, and cost decides what to use."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from delt_exp.errors import DataError
from delt_exp.study.comparison.arms import read_panels
from delt_exp.study.comparison.charge import charged
from delt_exp.study.comparison.pairs import baseline_apart
from delt_exp.study.comparison.planned import UnfinishedPair
from delt_exp.study.method_map.entries import entries_of, with_claims
from delt_exp.study.method_map.figures import answer_table
from delt_exp.study.method_map.report import MapReport
from delt_exp.study.record import read_study
from tests.study.comparison.studies import Planted, write_study

REPORT = MapReport(
    panel="task", share="kept", metric="loss", baseline={"scorer": "random", "kept": 1.0},
    placebos=["random", "permuted"], alpha=0.05,
)  # fmt: skip


def arm(scorer, kept, loss=0.0, seconds=0.5, task="noise", **settings):
    labels = {"task": task, "scorer": scorer, "kept": kept}
    return Planted(labels, loss, scoring_seconds={"scores/a": seconds}, **settings)


def longer(loss, times, task="noise"):
    labels = {"task": task, "scorer": "random", "kept": "1.0", "training": f"{times} times"}
    return Planted(labels, loss, tokens=10_000 * times, training_seconds=10.0 * times)


# A training run takes 10 s. `cheap` gains 0.1 for 1 s, `dear` 0.15 for 25 s, in which the baseline gains 0.12 itself.
NOISE = [
    arm("random", "1.0"), longer(-0.12, 4), arm("random", "0.2"), arm("permuted", "0.2"),
    arm("cheap", "0.2", -0.1, 1.0), arm("dear", "0.2", -0.15, 25.0), arm("useless", "0.2", 0.0, 5.0),
]  # fmt: skip


def findings(tmp_path, arms, shift=1_000_000, report=REPORT):
    study = read_study(write_study(tmp_path, arms))[0]
    for run in study.finished():  # the evaluation documents of planted runs have ids of their candidates too
        path = f"{run.folder}/losses.parquet"
        table = pq.read_table(path)
        ids = pa.array(table["id"].to_numpy() + shift)
        pq.write_table(table.set_column(table.column_names.index("id"), "id", ids), path)
    return report.findings(study)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    nothing = [arm(scorer, kept, task="homogeneous") for scorer, kept in (
        ("random", "1.0"), ("random", "0.2"), ("permuted", "0.2"), ("cheap", "0.2"))]  # fmt: skip
    return findings(tmp_path_factory.mktemp("map"), [*NOISE, *nothing])


def rows(findings, name="leaderboard"):
    table = next(table for table in findings.tables if table.name == name)
    cells = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    return {(row["task"], row["scorer"].removesuffix(" (placebo)"), row["kept"]): row for row in cells}


@pytest.mark.slow
def test_planted_gains_are_found_with_their_sign_and_placebos_gain_nothing(found):
    board = rows(found)
    gain = board["noise", "cheap", "0.2"]["gain [nats/token]"]
    assert gain.low < 0.1 < gain.high
    assert gain.low > 0
    verdicts = {key[1]: row["verdict"] for key, row in board.items() if key[0] == "noise"}
    assert verdicts == {
        "cheap": "better", "dear": "better", "useless": "not distinguishable", "random": "not distinguishable",
        "permuted": "not distinguishable",
    }  # fmt: skip
    assert [row["rank"] for key, row in board.items() if key[1] == "dear"] == [1]
    assert board["noise", "cheap", "0.2"]["and than its placebos"] == "yes"
    assert board["noise", "useless", "0.2"]["and than its placebos"] == "no"


@pytest.mark.slow
def test_draws_of_the_baseline_are_averaged(tmp_path):
    """Two orders of the baseline, 0.1 apart: every arm is compared with their mean, and none of them is an arm."""
    first, second = arm("random", "1.0"), arm("random", "1.0", 0.1)
    draws = [replace(one, labels={**one.labels, "draw": name}) for one, name in ((first, "first"), (second, "second"))]
    once, twice = (
        rows(findings(tmp_path / name, [*base, *NOISE[2:]])) for name, base in (("a", [first]), ("b", draws))
    )
    assert once.keys() == twice.keys()
    for key in once:
        gains = [board[key]["gain [nats/token]"].value for board in (once, twice)]
        assert gains[1] - gains[0] == pytest.approx(0.05, abs=0.02)


@pytest.mark.slow
def test_cost_is_charged_and_decides_what_to_use(found):
    """What 25 s of more training bring is more than what `dear` gains over it, so that `cheap` is used."""
    assert found.answer.split("\n")[0] == "Use cheap for noise; nothing is shown to help on homogeneous."
    assert "For noise, use cheap, keeping 20 %: it gains 0.0" in found.answer
    assert "it costs 1 s, as much as 0.1 training runs" in found.answer
    assert "the next larger gain that is shown, of dear, keeping 20 %, is 0.0" in found.answer
    assert "for 24 s more" in found.answer
    net = rows(found)["noise", "dear", "0.2"]["gain at equal cost"]
    assert net.value < rows(found)["noise", "dear", "0.2"]["gain [nats/token]"].value


def test_the_first_table_says_for_each_task_what_to_use_and_what_it_costs(found):
    first = found.tables[0]
    assert (first.name, first.is_answer, list(first.columns[:4])) == (
        found.figures[0].name, True, ["task", "verdict", "gain [nats/token]", "use"],
    )  # fmt: skip
    noise, homogeneous = (dict(zip(first.columns, row, strict=True)) for row in first.rows)
    assert (noise["verdict"], noise["use"], noise["cost [s]"], noise["of a training run"]) == (
        "better", "cheap, keeping 20 %", 1.0, 0.1,
    )  # fmt: skip
    assert (homogeneous["verdict"], homogeneous["use"]) == ("not distinguishable", "all documents")


@pytest.mark.slow
def test_what_a_claim_shows_is_called_better_where_all_pairs_together_do_not_show_it(tmp_path):
    """Claims are fewer than pairs, so that Holm's correction over them can let one through that it hides among all."""
    study = read_study(write_study(tmp_path, NOISE))[0]
    labels = {key: str(label) for key, label in REPORT.baseline.items()}
    panels = read_panels(study, REPORT.panel, REPORT.metric, labels, REPORT.placebos)
    (panel,) = baseline_apart(charged(panels), REPORT.alpha)
    (unclear,) = (entry for entry in entries_of(panel) if entry.arm.labels["scorer"] == "useless")
    assert unclear.pair.verdict == "not distinguishable"
    (row,) = answer_table({"noise": [replace(unclear, p_shown=0.01, at_equal_cost=None)]}, "kept", "nats").rows
    assert (row[1], row[2].verdict) == ("better", "better")


@pytest.mark.slow
def test_a_claim_at_equal_cost_is_as_sure_as_that_of_a_gain_and_claims_to_come_count(tmp_path):
    """`free` costs nothing, so that at equal cost it is compared once; `cheap` has a test of its own besides."""
    study = read_study(write_study(tmp_path, [*NOISE, arm("free", "0.2", -0.1, 0.0)]))[0]
    labels = {key: str(label) for key, label in REPORT.baseline.items()}
    panels = read_panels(study, REPORT.panel, REPORT.metric, labels, REPORT.placebos)
    (panel,) = baseline_apart(charged(panels), REPORT.alpha)
    found = {entry.arm.labels["scorer"]: entry for entry in with_claims(entries_of(panel))}
    assert found["free"].at_equal_cost.p_holm == found["free"].p_shown < REPORT.alpha
    assert found["cheap"].at_equal_cost.p_holm >= found["cheap"].p_shown
    # Four claims, then one more of an arm that is to come; its placebo claims nothing.
    to_come = frozenset(
        UnfinishedPair("noise", f"{name} · 0.5", "random · 1.0", True, name == "late") for name in ("late", "permuted")
    )
    later = {entry.arm.labels["scorer"]: entry for entry in with_claims(entries_of(panel), to_come)}
    best = min(found, key=lambda name: found[name].p_shown)
    assert later[best].p_shown == pytest.approx(5 / 4 * found[best].p_shown)


def test_verdicts_stand_second_and_placebos_are_marked(found):
    board = next(table for table in found.tables if table.name == "leaderboard")
    assert list(board.columns[:3]) == ["scorer", "verdict", "gain [nats/token]"]
    assert {row[0] for row in board.rows} == {
        "cheap", "dear", "useless", "random (placebo)", "permuted (placebo)",
    }  # fmt: skip


@pytest.mark.slow
def test_what_else_the_machine_did_while_an_arm_trained_is_not_charged_to_its_method(tmp_path, found):
    slow = arm("cheap", "0.2", -0.1, 1.0, training_seconds=35.0)
    again = rows(findings(tmp_path, [*NOISE[:4], slow, *NOISE[5:]]))["noise", "cheap", "0.2"]
    assert again["gain at equal cost"] == rows(found)["noise", "cheap", "0.2"]["gain at equal cost"]


def test_a_task_on_which_nothing_helps_says_so_and_what_would_have_been_seen(found):
    assert "For homogeneous, nothing is shown to beat training on all documents; the largest gain, of " in found.answer
    assert "would be detected with power 0.8." in found.answer


def test_the_map_has_a_cell_for_each_scorer_and_task_and_marks_claims(found):
    trace = found.figures[0].spec["data"][0]
    assert list(trace["x"]) == ["noise", "homogeneous"]
    cells = dict(zip(trace["y"], trace["text"], strict=True))
    assert cells["dear"][0].endswith("**")
    assert cells["dear"][1] == ""
    assert not cells["useless"][0].endswith("*")


def test_the_frontier_has_who_is_neither_dearer_nor_worse_than_another(found):
    line = found.figures[1].spec["data"][0]
    assert list(line["x"]) == [1.0, 25.0]


@pytest.mark.slow
def test_one_seed_is_said_to_be_about_these_models(tmp_path):
    """`cheap` costs as before, but only its first seed is finished."""
    arms = [*NOISE[:4], arm("cheap", "0.2", -0.1, 1.0, seeds=(0,))]
    assert "only one seed is finished" in findings(tmp_path, arms).answer


@pytest.mark.slow
def test_a_gain_that_a_placebo_has_too_is_not_used(tmp_path):
    arms = [arm("random", "1.0"), arm("random", "0.2", -0.1), arm("permuted", "0.2", -0.1), arm("cheap", "0.2", -0.1)]
    found = findings(tmp_path, arms)
    assert rows(found)["noise", "cheap", "0.2"]["verdict"] == "better"
    assert "nothing is shown" in found.answer


@pytest.mark.slow
def test_before_its_placebos_are_finished_no_gain_is_claimed(tmp_path):
    unfinished = [*NOISE[:3], arm("permuted", "0.2", seeds=()), arm("cheap", "0.2", -0.1, 1.0)]
    found = findings(tmp_path, unfinished)
    row = rows(found)["noise", "cheap", "0.2"]
    assert (row["verdict"], row["and than its placebos"]) == ("better", "not finished")
    assert "For noise, nothing is shown to beat training on all documents" in found.answer
    assert "Not finished: placebos for noise; methods that keep as much are not shown to help before." in found.answer


@pytest.mark.slow
def test_a_method_that_longer_training_beats_at_equal_cost_is_not_recommended(tmp_path):
    arms = [arm("random", "1.0"), longer(-0.4, 4), *NOISE[2:4], arm("dear", "0.2", -0.1, 25.0)]
    found = findings(tmp_path, arms)
    assert found.headline == "Use longer training on all documents for noise."
    assert "For noise, train on all documents for longer: dear, keeping 20 %, gains 0." in found.answer
    assert (
        "costs 25 s, as much as 2.5 training runs, and a baseline trained for the same time is better" in found.answer
    )
    table = next(table for table in found.tables if table.name == "map")
    assert table.rows[0][3] == "all documents, for longer"
    cheap = findings(tmp_path / "cheap", [*arms, arm("cheap", "0.2", -0.1, 0.1)])
    assert "For noise, use cheap, keeping 20 %" in cheap.answer


@pytest.mark.slow
def test_candidates_among_the_evaluation_documents_are_refused(tmp_path):
    with pytest.raises(DataError, match="1 evaluation documents are among the candidates, the first 0000000000000000"):
        findings(tmp_path, NOISE, shift=0)


def test_a_study_without_a_baseline_has_no_map_yet(tmp_path):
    with pytest.raises(DataError, match="no task has its baseline and another arm yet"):
        findings(tmp_path, [arm("cheap", "0.2"), arm("random", "0.2")])
