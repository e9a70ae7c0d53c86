"""Curves of a study of data efficiency: what is noise is not called a change, what has no bend not a curve."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import brentq

from delt_exp.config.build import CONF
from delt_exp.config.compose import composed
from delt_exp.errors import DataError
from delt_exp.study.data_efficiency.bootstrap import bootstrapped, spread_of_runs
from delt_exp.study.data_efficiency.curves import Key, Point
from delt_exp.study.data_efficiency.report import DataEfficiencyReport, detectable_gain

pytestmark = pytest.mark.slow

REPORT = DataEfficiencyReport("source", ["reward_accuracy", "win_rate"], resamples=400, alpha=0.05)


def planned(source, share, subset, value, stderr, **others):
    arm = {"source": source, "subsets": "nested", "subset": subset, "selector.ratio": share}
    values = {"reward_accuracy": value} | others
    rows = [
        {"dataset": "pairs", "metric": name, "value": number, "stderr": stderr,
         "better": "lower" if name == "kl" else "higher"}
        for name, number in values.items()
    ]  # fmt: skip
    training = "all" if share == 1 else f"{share} {subset}"
    stages = [{"stage": "model", "role": "model", "own": True, "key": training}]
    return SimpleNamespace(arm=arm, seed=0, record=lambda: {"results": rows, "stages": stages})


def study(of_share, stderr, shares=(0.1, 0.3, 1.0), sources=("a",), **others):
    """Three subsets that are all of the data at share 1, where their runs are one run."""
    runs = [
        planned(
            source,
            share,
            str(subset),
            of_share(share) + (0.001 * subset if share < 1 else 0),
            stderr,
            **{name: value(share) if callable(value) else value for name, value in others.items()},
        )
        for source in sources
        for share in shares
        for subset in range(3)
    ]
    return SimpleNamespace(finished=lambda: runs, folder="here")


def curves_of(findings):
    return [dict(zip(findings.tables[0].columns, row, strict=True)) for row in findings.tables[0].rows]


def test_a_gain_below_the_noise_of_the_evaluation_is_no_change():
    findings = REPORT.findings(study(lambda share: 0.5 + 0.05 * share, stderr=0.03))
    assert "does not clearly change" in findings.answer
    (curve,) = curves_of(findings)
    at_all, gain = curve["with all"], curve["gain of all over the least"]
    np.testing.assert_allclose([at_all.low, at_all.high], [0.55 - 1.96 * 0.03, 0.55 + 1.96 * 0.03], atol=0.015)
    assert gain.low < 0 < gain.high


def test_a_gain_far_beyond_it_grows_and_a_loss_falls():
    rising = REPORT.findings(study(lambda share: 0.5 + 0.3 * share, stderr=0.03)).answer
    falling = REPORT.findings(study(lambda share: 0.9 - 0.3 * share, stderr=0.03)).answer
    assert rising.startswith("reward_accuracy grows in 1 and falls in 0 of 1 curves from the least share")
    assert falling.startswith("reward_accuracy grows in 0 and falls in 1 of 1 curves from the least share")


def test_a_curve_with_a_bend_is_identified_and_one_without_is_not_shown():
    shares = (0.05, 0.1, 0.3, 0.6, 1.0)
    (bent,) = curves_of(REPORT.findings(study(lambda s: 0.9 - 0.02 / s, stderr=1e-5, shares=shares)))
    assert bent["curve identified"] == "yes"
    np.testing.assert_allclose([bent["a"].value, bent["b"].value, bent["c"].value], [0.9, 0.02, 1.0], rtol=0.1)
    straight = REPORT.findings(study(lambda s: 0.6 + 0.05 * np.log(s), stderr=1e-5, shares=shares))
    (curve,) = curves_of(straight)
    assert (curve["a"], curve["b"], curve["c"]) == (None, None, None)
    assert curve["curve identified"].startswith("no: at a border in ")
    assert "0 of 1 curves bend enough to be identified" in straight.answer
    assert "a, the value with unlimited data, means nothing" in straight.tables[0].note


def test_noise_that_hides_the_bend_leaves_a_curve_unidentified():
    """The fit to the points has an exponent of its own; those of the bootstraps run to the borders."""
    (curve,) = curves_of(REPORT.findings(study(lambda s: 0.52 - 0.002 / s, stderr=0.03)))
    assert curve["curve identified"].startswith("no: at a border in ")


def test_win_rates_have_curves_of_their_own_and_an_oracle_that_is_told():
    findings = REPORT.findings(study(lambda s: 0.5, stderr=0.02, win_rate=0.4, oracle_accuracy=0.7))
    found = {curve["measure"]: curve["with all"].value for curve in curves_of(findings)}
    assert found == pytest.approx({"reward_accuracy": 0.5, "win_rate": 0.4})
    assert "The oracle of pairs agrees with people on 0.700\u00a0±\u00a00.020 of the preferences." in findings.answer


def test_an_oracle_like_chance_takes_the_meaning_from_win_rates():
    answer = REPORT.findings(study(lambda s: 0.5, stderr=0.02, win_rate=0.4, oracle_accuracy=0.53)).answer
    assert (
        "0.530\u00a0±\u00a00.020 of the preferences, no more often than chance: its win rates carry no information"
        in answer
    )


def test_a_divergence_that_grows_is_worse():
    report = replace(REPORT, metrics=["kl"])
    findings = report.findings(study(lambda s: 0.5, stderr=0.001, kl=lambda s: 0.1 * s))
    (curve,) = curves_of(findings)
    assert (curve["verdict"], curve["gain of all over the least"].better) == ("worse", "lower")
    assert findings.answer.startswith("kl grows in 1 and falls in 0 of 1 curves")


@pytest.mark.parametrize("subsets", ["nested", "independent"])
def test_intervals_of_six_subsets_cover_what_they_promise(subsets):
    """Student's t, not normal quantiles of a variance that a bootstrap shows too small: that covers 0.84 to 0.90."""
    names, covered = [str(subset) for subset in range(6)], np.zeros(2)
    for number in range(300):
        draws = np.random.default_rng([8, number])
        own = draws.normal(0, 0.014, 6) * (subsets == "nested")
        values = {share: 0.6 + own + draws.normal(0, 0.02, 6) for share in (0.1, 0.3, 0.6)}
        curve = {
            share: {n: Point(v, 0.0, f"{share} {n}") for n, v in zip(names, values[share], strict=True)}
            for share in values
        }
        one = bootstrapped(Key("a", subsets, "reward_accuracy", "pairs", "higher"), curve, 200)
        mean, gain = one.mean_at(0.1, 0.05), one.gain(0.05)
        covered += [mean.low <= 0.6 <= mean.high, gain.low <= 0 <= gain.high]
    assert (covered / 300 > 0.91).all()


@pytest.mark.parametrize("seeds", [1, 2])
def test_intervals_of_a_gain_hold_the_noise_of_runs_on_all_of_the_data(seeds):
    """Three subsets of each seed at each share, which are one run at share 1; nothing gains."""
    covered = 0
    for number in range(100):
        draws = np.random.default_rng([7, number])
        curve = {
            share: {
                f"{subset} {seed}": Point(
                    *((0.5 + own, 0.01, f"{subset} {seed}") if share < 1 else (0.5 + whole, 0.01, f"{seed}"))
                )
                for seed, whole in enumerate(draws.normal(0, 0.03, seeds))
                for subset, own in enumerate(draws.normal(0, 0.03, 3))
            }
            for share in (0.1, 0.3, 1.0)
        }
        gain = bootstrapped(Key("a", "nested", "reward_accuracy", "pairs", "higher"), curve, 200).gain(0.05)
        covered += gain.low <= 0 <= gain.high
    assert covered >= 88


def test_runs_that_are_one_are_counted_once():
    points = next(table for table in REPORT.findings(study(lambda s: s, stderr=0.1)).tables if table.name == "points")
    assert {row[4]: row[-1] for row in points.rows} == {0.1: 3, 0.3: 3, 1.0: 1}


def runs_of(*counts):
    """Runs that are right about so many of 295 pairs; no evaluation noise."""
    return {f"{i} 0": Point(count / 295, 0.0, f"run {i}") for i, count in enumerate(counts)}


def test_runs_that_came_out_alike_are_still_as_many_runs():
    """Three runs a share, two of them right about equally many pairs: sd 17.3, 10.4 and 0 pairs, pooled 11.7."""
    curve = {0.1: runs_of(150, 150, 180), 0.3: runs_of(160, 160, 178), 1.0: runs_of(170, 170, 170)}
    assert spread_of_runs(curve) * 295 == pytest.approx(((30**2 / 3 + 18**2 / 3) / 3) ** 0.5)
    # Gains of 20, 20 and -10: the mean of three draws is 10 below theirs in 6 of 27 cases and 20 below in one, times
    # w = sqrt(3 / chi^2(2)), where P(w > y) = 1 - exp(-1.5 / y^2).
    low = brentq(lambda x: 6 / 27 * -np.expm1(-150 / x**2) + 1 / 27 * -np.expm1(-600 / x**2) - 0.025, 20, 90)
    gain = bootstrapped(Key("a", "nested", "reward_accuracy", "pairs", "higher"), curve, 20_000).gain(0.05)
    assert gain.low * 295 == pytest.approx(10 - low, rel=0.05)


def test_the_figure_has_the_intervals_of_the_table():
    findings = REPORT.findings(study(lambda share: 0.5 + 0.2 * share, stderr=0.02))
    bars = findings.figures[0].spec["data"][0]["error_y"]
    (curve,) = curves_of(findings)
    for place, cell in ((0, curve["at the least share"]), (-1, curve["with all"])):
        assert bars["array"][place] == pytest.approx(cell.high - cell.value)
        assert bars["arrayminus"][place] == pytest.approx(cell.value - cell.low)


def test_sources_are_compared_on_the_same_measure_only():
    findings = REPORT.findings(study(lambda s: 0.5 + 0.1 * s, stderr=0.01, sources=("a", "b"), win_rate=0.5))
    contrasts = findings.tables[1]
    assert [row[:4] for row in contrasts.rows] == [
        ["a - b", "nested", "reward_accuracy", "pairs"], ["a - b", "nested", "win_rate", "pairs"],
    ]  # fmt: skip
    with_all = contrasts.rows[0][-2]
    assert with_all.value == 0
    assert with_all.high == pytest.approx(1.96 * 2**0.5 * 0.01, rel=0.2)


def test_the_detectable_gain_by_hand_and_by_the_report():
    """200 pairs: one standard error is .0354, of a difference .05, and 2.8 of them .14."""
    assert detectable_gain(200) == pytest.approx(0.14)
    stderr = (0.25 / 200) ** 0.5
    assert "grows in 1" in REPORT.findings(study(lambda s: 0.4 + 0.2 * s, stderr=stderr)).answer
    assert "does not clearly change" in REPORT.findings(study(lambda s: 0.4 + 0.05 * s, stderr=stderr)).answer


def test_what_the_evaluation_can_show_is_said_before_anything_runs(tmp_path):
    """200 pairs of which 50 are read: one standard error of a share is .0707, 2.8 of a difference .28."""
    line = '{"chosen": "yes", "rejected": "no"}\n'
    (tmp_path / "pairs.jsonl").write_text(line * 200)
    pairs = composed(CONF, ["eval_dataset=[preferences,stdlib]"])
    pairs.eval_dataset.preferences.dataset.path = str(tmp_path / "pairs.jsonl")
    pairs.eval_dataset.preferences.limit = 50
    (sentence,) = REPORT.outlook([pairs, pairs])
    assert "preferences has at most 50 preferences" in sentence
    assert "standard error of 0.071" in sentence
    assert "with power 0.8 is 0.280" in sentence


def test_two_shares_make_no_curve():
    with pytest.raises(DataError, match="no source is finished with three shares yet"):
        REPORT.findings(study(lambda share: share, stderr=0.0, shares=(0.1, 1.0)))
