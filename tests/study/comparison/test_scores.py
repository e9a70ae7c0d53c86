"""What scores are made of: agreement, stability, length and source, by hand."""

import numpy as np
import pytest

from delt_exp.study.page import write_page
from tests.study.comparison.studies import BASE, NUM_CANDIDATES, Planted, arm, write_study
from tests.study.comparison.test_report import figure, findings, rows

UP = np.arange(NUM_CANDIDATES, dtype=np.float32)  # as the tokens of the helper, 1 to 40
SOURCE = UP % 2  # the helper's sources alternate: books, news


def study(tmp_path, **scores):
    arms = [Planted(BASE), *(arm(name, "1.0", "folding", scores=score) for name, score in scores.items())]
    return findings(write_study(tmp_path, arms))


def table(found):
    return {row["scorer"]: row for row in rows(found, "scorers")}


def matrix(found, number):
    trace = figure(found, "agreement")["data"][number]
    return {
        (y, x): z for y, row in zip(trace["y"], trace["z"], strict=True) for x, z in zip(trace["x"], row, strict=True)
    }


@pytest.mark.slow
def test_agreement_of_equal_and_of_opposite_scores(tmp_path):
    found = study(tmp_path, up=lambda seed: UP, same=lambda seed: 3 * UP + 1, down=lambda seed: -UP)
    spearman, overlap = matrix(found, 0), matrix(found, 1)
    assert spearman["up", "same"] == pytest.approx(1)
    assert spearman["up", "down"] == spearman["down", "up"] == pytest.approx(-1)
    assert (overlap["up", "same"], overlap["up", "down"]) == (1, 0)
    # the two best quarters of 40: 20 documents each, random against up
    assert 0 < overlap["random", "up"] < 1


def test_stability_over_seeds(tmp_path):
    turning = study(tmp_path, fixed=lambda seed: UP, turning=lambda seed: UP * (-1) ** seed)
    found = table(turning)
    assert found["fixed"]["Spearman between seeds"] == pytest.approx(1)
    # 5 seeds: 3 even, 2 odd; of 10 pairs 3 + 1 agree fully and 6 are opposite: (4 - 6) / 10
    assert found["turning"]["Spearman between seeds"] == pytest.approx(-0.2)
    assert found["turning"]["overlap between seeds, best 50 %"] == pytest.approx(0.4)


def with_key(key):
    """Name the planted scoring of a seed."""

    def change(record):
        stage = next(stage for stage in record["stages"] if stage["stage"] == "scores")
        stage["key"] = key(record["seed"])

    return change


@pytest.mark.slow
def test_seeds_that_share_one_scoring_measure_no_stability(tmp_path):
    keys = {"reused": lambda seed: "a", "own": lambda seed: f"b{seed}", "twice": lambda seed: f"c{seed // 4}"}
    arms = [
        arm(name, "1.0", "folding", scores=lambda seed: UP if seed < 4 else -UP, change=with_key(key))
        for name, key in keys.items()
    ]
    found = findings(write_study(tmp_path, [Planted(BASE), *arms]))
    stable = {name: row["Spearman between seeds"] for name, row in table(found).items()}
    assert stable["reused"] == "not measured"
    assert table(found)["reused"]["overlap between seeds, best 50 %"] == "not measured"
    assert stable["own"] == pytest.approx((6 - 4) / 10)  # five seeds, one of them opposite to the other four
    assert stable["twice"] == pytest.approx(-1)  # only pairs with that one are two scorings
    page = write_page(tmp_path / "study").read_text()
    assert ">not measured</td>" in page


def test_length_and_source(tmp_path):
    found = table(study(tmp_path, up=lambda seed: UP, down=lambda seed: -UP, source=lambda seed: SOURCE))
    assert found["up"]["Spearman with length"] == pytest.approx(1)
    assert found["down"]["Spearman with length"] == pytest.approx(-1)
    assert found["source"]["share between sources"] == pytest.approx(1)
    # ranks 1 to 40 in two interleaved groups: means 20 and 21; 40 * 0.25 of the total 40 * (40^2 - 1) / 12
    assert found["up"]["share between sources"] == pytest.approx(10 / 5330)


def test_a_score_that_is_the_same_everywhere_has_no_ranks_and_is_left_out(tmp_path):
    found = study(tmp_path, up=lambda seed: UP, flat=lambda seed: 0 * UP)
    assert "flat" not in table(found)
    assert ("flat", "up") not in matrix(found, 0)


def test_scores_of_other_corpora_are_not_compared(tmp_path):
    found = study(tmp_path, up=lambda seed: UP, short=lambda seed: UP[: 10 + 2 * seed])
    assert matrix(found, 0)["up", "short"] is None
    assert table(found)["short"]["Spearman between seeds"] is None


def test_one_seed_has_no_stability(tmp_path):
    arms = [Planted(BASE, seeds=(0,)), arm("up", "1.0", "folding", seeds=(0,), scores=lambda seed: UP)]
    assert table(findings(write_study(tmp_path, arms, seeds=[0])))["up"]["Spearman between seeds"] is None
