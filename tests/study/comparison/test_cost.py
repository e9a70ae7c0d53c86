"""What a score cost is charged to its arm, and the arm is compared with what that could have bought."""

import math

import pytest

from delt_exp.study.comparison.arms import read_panels
from delt_exp.study.comparison.charge import charged
from delt_exp.study.comparison.pairs import compared
from delt_exp.study.record import read_study
from tests.study.comparison.studies import BASE, Planted, arm, write_study
from tests.study.comparison.test_report import figure, findings, rows


def budgets(*seconds_and_loss):
    """Return the baseline at 10,000 tokens and at multiples of them; its score costs nothing."""
    free = {"scores/random": 0.0}
    (first, loss), *longer = seconds_and_loss
    arms = [Planted(BASE, loss, training_seconds=first, scoring_seconds=free)]
    for seconds, loss in longer:
        labels = {**BASE, "training": f"{seconds} s"}
        tokens = round(1000 * seconds)
        arms.append(Planted(labels, loss, tokens=tokens, training_seconds=seconds, scoring_seconds=free))
    return arms


def lqs(loss, scoring):
    return arm("lqs", "1.0", "folding", loss, scoring_seconds=scoring, scoring_flops=600_000.0)


def drawn(spec, name):
    """Return the costs of one kind of point, in seconds and in operations."""
    return [trace["x"] for trace in spec["data"] if trace.get("name") == name]


def test_an_arm_is_charged_with_its_scores_and_all_they_were_made_of(tmp_path):
    scoring = {"scores/a": 0.5, "annotation/b": 30.0, "model/c": 12.0}
    found = findings(write_study(tmp_path, [*budgets((10.0, 0)), lqs(-0.1, scoring)]))
    row = next(row for row in rows(found, "cost") if row["arm"].startswith("lqs"))
    assert (row["training [s]"], row["scoring [s]"], row["total [s]"]) == (10.0, 42.5, 52.5)
    # 60 operations a token in the helper; 10,000 tokens
    assert [row[f"{part} [TFLOPs]"] for part in ("training", "scoring", "total")] == [6e-7, 6e-7, 1.2e-6]
    assert row["peak of scoring and selecting [GB]"] == 2.0
    (scorer, *_) = [row for row in rows(found, "scorers") if row["scorer"] == "lqs"]
    assert scorer["scoring [s]"] == 42.5


def test_an_arm_is_charged_with_its_selection_but_for_what_its_score_has_paid(tmp_path):
    picking = {"pair_features/a": 20.0, "model/round": 11.0, "model/proxy": 7.0}
    changes = {"selecting_seconds": picking, "selecting_flops": 300_000.0, "scoring_flops": 0.0}
    picked = arm("length", "picked", "shuffle", -0.1, scoring_seconds={"scores/r": 0.5, "model/proxy": 7.0}, **changes)
    found = findings(write_study(tmp_path, [*budgets((10.0, 0)), picked], subject={"ratio": "picked"}))
    row = next(row for row in rows(found, "cost") if "picked" in row["arm"])
    assert [row[f"{part} [s]"] for part in ("training", "scoring", "selecting", "total")] == [10.0, 7.5, 31.0, 48.5]
    assert (row["selecting [TFLOPs]"], row["total [TFLOPs]"]) == (3e-7, 9e-7)
    assert row["peak of scoring and selecting [GB]"] == 3.0
    assert "Its score and selection cost 38.5 s, as much as 3.9 training runs" in found.answer
    assert drawn(figure(found, "cost"), "score") == [[48.5], [9e5]]
    assert drawn(figure(found, "cost"), "baseline") == [[10.0], [6e5]]


def test_the_trained_model_is_the_last_one_not_that_of_the_score(tmp_path):
    found = findings(write_study(tmp_path, [*budgets((10.0, 0)), lqs(0, {"scores/a": 1.0})]))
    assert {row["training [s]"] for row in rows(found, "cost")} == {10.0}  # the helper's first model took 99 s


@pytest.mark.parametrize(
    ("total_seconds", "loss", "verdict", "words"),
    [
        (20.0, -0.2, "better", "it earns its cost"),
        (20.0, -0.1, "not distinguishable", "it is not shown to earn its cost"),
        (20.0, 0.0, "worse", "it is not worth its cost"),
        (10.0, -0.1, "better", "it earns its cost"),
        (40.0, -0.1, "worse", "it is not worth its cost"),
    ],
)
def test_at_equal_cost_the_baseline_lies_between_its_budgets(tmp_path, total_seconds, loss, verdict, words):
    # 10 s reach 0, 40 s reach -0.2: 20 s are half way in log seconds, so -0.1
    expected = loss + 0.2 * math.log(total_seconds / 10) / math.log(4)
    arms = [*budgets((10.0, 0.0), (40.0, -0.2)), lqs(loss, {"scores/a": total_seconds - 10})]
    found = findings(write_study(tmp_path, arms))
    row = next(row for row in rows(found, "cost") if row["arm"].startswith("lqs"))
    assert row["verdict"] == verdict
    assert row["minus baseline at equal cost"].value == pytest.approx(expected, abs=0.01)
    assert words in found.answer
    seconds = total_seconds - 10
    spent = f"{seconds:.3g} s, as much as {seconds / 10:.2g} training runs" if seconds else "less than 0.1 s, under 1 %"
    assert f"Its score cost {spent}" in found.answer


@pytest.mark.slow
def test_a_baseline_that_got_worse_by_training_on_is_taken_where_it_was_best(tmp_path):
    """10 s reach 0, 20 s reach -0.3, 40 s are overfitted at 0.5: for 40 s the best baseline is that of 20 s."""
    arms = [*budgets((10.0, 0.0), (20.0, -0.3), (40.0, 0.5)), lqs(-0.1, {"scores/a": 30.0})]
    row = next(row for row in rows(findings(write_study(tmp_path, arms)), "cost") if row["arm"].startswith("lqs"))
    assert row["minus baseline at equal cost"].value == pytest.approx(0.2, abs=0.01)
    assert row["verdict"] == "worse"


def test_an_arm_cheaper_than_the_baseline_is_compared_with_the_baseline_itself(tmp_path):
    base = Planted(BASE, 0.0, training_seconds=10.0, scoring_seconds={"scores/r": 5.0})
    found = findings(write_study(tmp_path, [base, lqs(-0.1, {"scores/a": 1.0})]))
    row, board = (
        next(row for row in rows(found, name) if row["arm"].startswith("lqs")) for name in ("cost", "leaderboard")
    )
    assert row["minus baseline at equal cost"] == board["minus baseline"]


def test_nothing_is_said_beyond_the_longest_baseline(tmp_path):
    found = findings(write_study(tmp_path, [*budgets((10.0, 0), (40.0, -0.2)), lqs(-0.1, {"scores/a": 31.0})]))
    row = next(row for row in rows(found, "cost") if row["arm"].startswith("lqs"))
    assert (row["minus baseline at equal cost"], row["verdict"]) == (None, "")
    assert "whether that pays is unknown until a baseline trained for that long is finished." in found.answer


def test_a_cost_that_was_not_recorded_is_said_to_be_unknown(tmp_path):
    found = findings(write_study(tmp_path, [*budgets((10.0, 0)), lqs(-0.1, None)]))
    assert "What its score cost is not recorded." in found.answer
    row = next(row for row in rows(found, "cost") if row["arm"].startswith("lqs"))
    assert (row["scoring [s]"], row["total [s]"], row["peak of scoring and selecting [GB]"]) == (None, None, None)


def test_longer_baselines_are_drawn_but_not_ranked(tmp_path):
    found = findings(write_study(tmp_path, [*budgets((10.0, 0), (40.0, -0.2)), lqs(-0.1, {"scores/a": 20.0})]))
    assert len(rows(found, "leaderboard")) == 2
    assert "is not compared" not in found.tables[0].note
    spec = figure(found, "cost")
    assert drawn(spec, "baseline") == [[10.0, 40.0], [6e5, 2.4e6]]
    assert drawn(spec, "score") == [[30.0], [1.2e6]]
    assert [button["label"] for button in spec["layout"]["updatemenus"][0]["buttons"]] == ["seconds", "flops"]
    assert [tick for tick in spec["layout"]["xaxis"]["tickvals"] if tick < 100] == [10, 15, 20, 30, 50, 70]


def test_operations_are_drawn_only_where_all_are_known(tmp_path):
    arms = [*budgets((10.0, 0)), arm("lqs", "1.0", "folding", scoring_flops=None)]
    spec = figure(findings(write_study(tmp_path, arms)), "cost")
    assert (drawn(spec, "baseline"), drawn(spec, "score")) == ([[10.0]], [[10.5]])  # seconds
    assert "updatemenus" not in spec["layout"]  # nothing to choose


def test_placebos_are_not_asked_to_earn_a_cost(tmp_path):
    arms = [*budgets((10.0, 0), (40.0, -0.2)), lqs(-0.1, {"scores/a": 5.0}), arm("permuted", "1.0", "folding")]
    verdicts = {row["arm"]: row["verdict"] for row in rows(findings(write_study(tmp_path, arms)), "cost")}
    assert verdicts["permuted · 1.0 · folding"] == ""


@pytest.mark.slow
def test_a_gain_that_a_placebo_has_too_does_not_earn_the_cost_of_the_score(tmp_path):
    arms = [*budgets((10.0, 0), (40.0, -0.05)), lqs(-0.2, {"scores/a": 5.0}), arm("permuted", "1.0", "folding", -0.2)]
    answer = findings(write_study(tmp_path, arms)).answer
    assert "that pays, but so may the same arm with permuted scores." in answer
    assert "it earns its cost" not in answer


def test_one_slow_run_does_not_change_the_cost_of_an_arm(tmp_path):
    def slow(record):
        if record["seed"] == 0:
            record["stages"][2]["cost"]["build_seconds"] = 1000.0

    arms = [*budgets((10.0, 0)), arm("lqs", "1.0", "folding", change=slow)]
    row = next(row for row in rows(findings(write_study(tmp_path, arms)), "cost") if row["arm"].startswith("lqs"))
    assert row["training [s]"] == 10.0


def test_operations_of_the_whole_scoring_come_before_those_of_its_phases(tmp_path):
    def known(record):
        record["score"]["flops"] = 3e12

    arms = [*budgets((10.0, 0)), arm("lqs", "1.0", "folding", change=known)]
    row = next(row for row in rows(findings(write_study(tmp_path, arms)), "cost") if row["arm"].startswith("lqs"))
    assert row["scoring [TFLOPs]"] == 3.0


def test_a_correction_is_named_where_something_is_compared(tmp_path):
    def note(name, *planted):
        return next(t.note for t in findings(write_study(tmp_path / name, planted)).tables if t.name == "cost")

    between = *budgets((10.0, 0), (40.0, -0.2)), lqs(-0.1, {"scores/a": 20.0})
    assert "Holm-corrected (1 comparisons)" in note("between", *between)
    assert "Holm" not in note("beyond", *budgets((10.0, 0)), lqs(-0.1, {"scores/a": 31.0}))


@pytest.mark.slow
@pytest.mark.parametrize("scoring_seconds", [0.0, 10.0])
def test_no_arm_earns_a_cost_by_a_gain_that_is_not_shown(tmp_path, scoring_seconds):
    """The planned family has the placebos too, so that a gain can pass at equal cost and not against the baseline."""
    placebos = [arm("permuted", f"0.{share}", "shuffle") for share in range(1, 10)]
    for loss in (-0.004, -0.008, -0.012, -0.016):
        arms = [*budgets((10.0, 0.0), (40.0, 0.0)), lqs(loss, {"scores/a": scoring_seconds}), *placebos]
        study, _ = read_study(write_study(tmp_path / str(loss), arms))
        (panel,) = compared(charged(read_panels(study, None, "loss", BASE, ["permuted"])), 0.05)
        (scored,) = [one for one in panel.arms if one.name.startswith("lqs")]
        assert panel.at_equal_cost[scored.name].verdict == panel.against_baseline(scored).verdict
