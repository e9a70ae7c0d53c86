"""A study of the same arms at several sizes: planted agreement is found, and planted disagreement."""

from dataclasses import replace

import pytest

from delt_exp.config.build import build
from delt_exp.errors import ConfigError, DataError
from delt_exp.study.record import read_study
from tests.study.comparison.studies import Planted, write_study

REPORT = {
    "_target_": "delt_exp.decision.study_report.DecisionReport",
    "size": "model",
    "protocol": None,
    "large": "6 M",
    "metric": "acc",
    "alpha": 0.05,
}
LOSSES = (0.0, 0.1, 0.2, 0.3, 0.4)


def arms(small, large=LOSSES):
    """Arms a, b, ... whose planted losses are these at 0.4 M and at 6 M."""
    return [
        Planted({"model": size, "scorer": name}, loss)
        for size, losses in (("0.4 M", small), ("6 M", large))
        for name, loss in zip("abcde", losses, strict=True)
    ]


def findings(folder, **changed):
    return build(REPORT | changed, "study.report").findings(read_study(folder)[0])


def cells(found, name):
    table = next(table for table in found.tables if table.name == name)
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def test_sizes_that_agree_decide_alike(tmp_path):
    found = findings(write_study(tmp_path, arms(LOSSES)))
    assert found.headline.startswith("0.4 M orders 100 % [")
    row = cells(found, "decisions")[0]
    assert (row["decision accuracy"].value, row["with one seed"].value, row["of clear pairs"].value) == (1, 1, 1)
    assert (row["pairs"], row["clear pairs"], row["arms"], row["seeds"]) == (10, 10, 5, 5)


@pytest.mark.slow
def test_the_reverse_order_is_always_wrong(tmp_path):
    found = findings(write_study(tmp_path, arms(LOSSES[::-1])))
    assert cells(found, "decisions")[0]["decision accuracy"].value == 0
    assert "not shown to be better than chance" in found.answer


def test_signal_to_noise_is_that_of_the_planted_seeds(tmp_path):
    found = findings(write_study(tmp_path, arms(LOSSES)))
    small, large = cells(found, "signal_to_noise")
    assert (small["size"], large["size"]) == ("0.4 M", "6 M")
    assert small["sd of arms"] == pytest.approx(0.158, abs=0.005)  # sd of LOSSES
    # Seeds add 0.001 k (1 + loss), k = 0, 1, 2, 0, 1: what is left beside arms and seeds is 0.001 (k - 0.8) times
    # (loss - 0.2), of which the squares sum to 1e-6 * 2.8 * 0.1, over 4 * 4 degrees of freedom.
    assert small["sd of seeds"] == pytest.approx((2.8e-7 / 16) ** 0.5)


def test_an_unfinished_study_compares_at_common_seeds_and_is_not_cited(tmp_path):
    """Arm a is better at every seed; it alone has seed 1, at which everything is worse."""

    def harder(record):
        if record["seed"] == 1:
            record["results"][0]["value"] -= 0.25

    planted = [
        replace(one, change=harder, seeds=(0, 1) if one.labels["scorer"] == "a" else (0,)) for one in arms(LOSSES)
    ]
    found = findings(write_study(tmp_path, planted))
    row = cells(found, "decisions")[0]
    assert (row["decision accuracy"].value, row["seeds"]) == (1, 1)
    assert not list(tmp_path.rglob("decision_accuracy"))


def test_arms_without_a_common_seed_are_not_compared(tmp_path):
    planted = [replace(one, seeds=(0,) if one.labels["scorer"] == "a" else (1,)) for one in arms(LOSSES)]
    with pytest.raises(DataError, match="the 5 arms that are finished at every size have no seed in common"):
        findings(write_study(tmp_path, planted))


def test_arms_that_a_size_lacks_are_left_out_and_counted(tmp_path):
    planted = [one for one in arms(LOSSES) if one.labels != {"model": "6 M", "scorer": "e"}]
    found = findings(write_study(tmp_path, planted))
    assert cells(found, "decisions")[0]["pairs"] == 6
    assert "1 arms are left out until they are finished at every size." in found.answer


@pytest.mark.slow
def test_protocols_may_have_sizes_of_their_own_and_one_without_enough_arms_waits(tmp_path):
    planted = [replace(one, labels={**one.labels, "protocol": "fixed"}) for one in arms(LOSSES)]
    middle = [one for one in planted if one.labels["model"] == "0.4 M"]
    for size, protocol, count in (("1.5 M", "fixed", 5), ("0.4 M", "tiny", 5), ("0.4 M", "tuned", 2)):
        planted += [replace(one, labels={**one.labels, "model": size, "protocol": protocol}) for one in middle[:count]]
    found = findings(write_study(tmp_path, planted), protocol="protocol")
    rows = [(row["size"], row["protocol"], row["arms"]) for row in cells(found, "decisions")]
    assert sorted(rows) == [("0.4 M", "fixed", 5), ("0.4 M", "tiny", 5), ("1.5 M", "fixed", 5)]
    assert list(found.figures[0].spec["layout"]["xaxis"]["ticktext"]) == ["0.4 M", "1.5 M", "6 M"]
    assert "tuned: left out until 3 arms are finished at two sizes." in found.answer


def test_a_study_with_too_few_arms_or_another_dimension_says_so(tmp_path):
    folder = write_study(tmp_path, [one for one in arms(LOSSES) if one.labels["model"] == "6 M"])
    with pytest.raises(DataError, match="needs 3 arms and two sizes"):
        findings(folder)
    with pytest.raises(ConfigError, match=r"study\.report\.size='width' is not among"):
        findings(folder, size="width")
