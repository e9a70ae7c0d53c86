"""What arms are charged does not depend on what else the machine did: planted costs, and the slow obvious sum."""

from statistics import median

import pytest

from delt_exp.quantity import Below
from delt_exp.report.columns import column_texts
from delt_exp.study.comparison.arms import read_panels
from delt_exp.study.comparison.charge import FLOOR, charged
from delt_exp.study.record import read_study
from tests.study.comparison.studies import BASE, Planted, arm, write_study
from tests.study.comparison.test_report import figure, findings, rows

BUSY = (1.0, 3.0, 1.5, 9.0, 2.0)  # how much slower the machine was for the run of each seed


def timed(training, scoring, *, knows=lambda seed: True, shift=0):
    """Let a record have these CPU seconds, and wall seconds that depend on how busy the machine was."""

    def change(record):
        busy = BUSY[(record["seed"] + shift) % 5]
        for stage in record["stages"]:
            cost = stage["cost"]
            if stage["stage"] == "model" and stage["own"]:
                cost |= {"build_seconds": training * busy, "cpu_seconds": training if knows(record["seed"]) else None}
            for one in cost.get("used", {}).values():
                one |= {"build_seconds": scoring * busy, "cpu_seconds": scoring if knows(record["seed"]) else None}
            if stage["stage"] == "scores":
                stage["key"] = f"scores of seed {record['seed']}"

    return change


def panel_of(tmp_path, arms):
    study = read_study(write_study(tmp_path, arms))[0]
    labels = {"scorer": "random", "ratio": "1.0", "orderer": "shuffle"}
    return charged(read_panels(study, None, "loss", labels, ["random"]))[0]


def costs(panel):
    return {one.labels["scorer"]: one.cost for one in panel.arms}


def test_cpu_time_is_charged_where_all_of_it_is_known_and_wall_time_of_a_busy_machine_is_not(tmp_path):
    arms = [
        Planted(BASE, change=timed(10.0, 0.0)), arm("lqs", "1.0", "folding", change=timed(10.0, 4.0, shift=2)),
        arm("dsir", "1.0", "folding", change=timed(10.0, 1.0, knows=lambda seed: seed == 3)),
    ]  # fmt: skip
    found = costs(panel_of(tmp_path, arms))
    assert {name: (one.training_seconds, one.scoring_seconds, one.unit) for name, one in found.items()} == {
        "random": (10, 0, "CPU s"), "lqs": (10, 4, "CPU s"), "dsir": (10, 1, "CPU s"),
    }  # fmt: skip


@pytest.mark.parametrize("what", ["other processes", "a GPU"])
def test_wall_time_is_charged_to_all_where_the_cpu_time_of_one_arm_is_not_known(tmp_path, what):
    def on_gpu(record):
        timed(10.0, 4.0)(record)
        for stage in record["stages"]:
            stage["cost"]["cuda_peak_bytes"] = 5

    change = on_gpu if what == "a GPU" else timed(10.0, 4.0, knows=lambda seed: False)
    found = costs(panel_of(tmp_path, [Planted(BASE, change=timed(10.0, 0.0)), arm("lqs", "1.0", "x", change=change)]))
    assert {one.unit for one in found.values()} == {"s"}
    assert found["lqs"].scoring_seconds == 4 * median(BUSY)


def test_arms_that_are_trained_alike_cost_alike_and_others_have_a_speed_of_their_own(tmp_path):
    """A weighter makes training dearer; a slow run does not."""

    def weighted(record):
        timed(35.0, 0.0)(record)
        record["config"]["weighter"] = {"_target_": "delt_exp.weighter.dwm.weighter.Dwm"}

    arms = [
        Planted(BASE, change=timed(10.0, 0.0)), arm("a", "1.0", "x", change=timed(11.0, 0.0)),
        arm("b", "1.0", "x", change=timed(10.0, 0.0)), arm("c", "1.0", "x", change=weighted),
    ]  # fmt: skip
    found = costs(panel_of(tmp_path, arms))
    assert {name: one.training_seconds for name, one in found.items()} == {"random": 10, "a": 10, "b": 10, "c": 35}


def test_an_arm_that_ends_with_a_fuller_batch_costs_as_much_as_the_baseline(tmp_path):
    """Without a longer baseline, 60 tokens more would leave nothing to compare it with at equal cost."""
    fuller = arm("lqs", "1.0", "folding", -0.1, tokens=10_060, change=timed(10.06, 0.0))
    found = findings(write_study(tmp_path, [Planted(BASE, change=timed(10.0, 0.0)), fuller]))
    cost, board = (
        next(row for row in rows(found, name) if row["arm"].startswith("lqs")) for name in ("cost", "leaderboard")
    )
    assert cost["training [CPU s]"] == pytest.approx(10)
    assert cost["minus baseline at equal cost"] == board["minus baseline"]


def test_a_score_costs_the_same_whatever_is_kept_by_it_and_shared_scores_count_once(tmp_path):
    """Slow and obvious: the median over distinct scorings of the scorer."""
    seconds = {"0.2": (3.0, 3.0, 3.0, 3.0, 3.0), "0.5": (3.0, 7.0, 8.0, 9.0, 3.0)}

    def scored(ratio):
        def change(record):
            spent = seconds[ratio][record["seed"]]
            timed(10.0, spent)(record)
            record["stages"][1]["key"] = f"{record['seed']} {spent}"

        return change

    arms = [Planted(BASE, change=timed(10.0, 0.0)), *(arm("lqs", r, "x", change=scored(r)) for r in seconds)]
    panel = panel_of(tmp_path, arms)
    distinct = {(seed, spent) for values in seconds.values() for seed, spent in enumerate(values)}
    expected = median(spent for _, spent in distinct)
    assert [one.cost.scoring_seconds for one in panel.arms if one.labels["scorer"] == "lqs"] == [expected, expected]


def test_a_score_costs_what_it_costs_with_its_own_proxy(tmp_path):
    proxies = {"small": 1.0, "large": 9.0}
    arms = [
        Planted({**BASE, "scorer": "lqs", "proxy": proxy}, change=timed(10.0, seconds))
        for proxy, seconds in proxies.items()
    ]
    panel = panel_of(tmp_path, [Planted(BASE, change=timed(10.0, 0.0)), *arms])
    assert {one.labels["proxy"]: one.cost.scoring_seconds for one in panel.arms if "proxy" in one.labels} == proxies


def test_what_costs_less_than_a_hundredth_of_training_counts_as_nothing_and_is_shown_as_less(tmp_path):
    arms = [
        Planted(BASE, 0.0, change=timed(10.0, 0.0)),
        Planted({**BASE, "training": "longer"}, -0.2, tokens=40_000, change=timed(40.0, 0.0)),
        arm("cheap", "1.0", "folding", -0.1, change=timed(10.0, 0.99 * FLOOR * 10)),
        arm("dear", "1.0", "folding", -0.1, change=timed(10.0, 1.01 * FLOOR * 10)),
    ]  # fmt: skip
    found = findings(write_study(tmp_path, arms))
    cost = {row["arm"].split(" ")[0]: row for row in rows(found, "cost")}
    board = {row["arm"].split(" ")[0]: row for row in rows(found, "leaderboard")}
    cheap, dear = cost["cheap"], cost["dear"]
    assert isinstance(cheap["scoring [CPU s]"], Below)
    assert column_texts([cheap["scoring [CPU s]"], 3.0])[0].value == "< 0.1"
    assert cheap["total [CPU s]"] == 10
    assert cheap["minus baseline at equal cost"] == board["cheap"]["minus baseline"]
    assert "scoring [CPU s]" in rows(found, "scorers")[0]
    assert figure(found, "cost")["layout"]["xaxis"]["title"]["text"] == "scoring, selecting and training [CPU s]"
    assert dear["scoring [CPU s]"] == pytest.approx(0.101)
    assert dear["minus baseline at equal cost"].value > board["dear"]["minus baseline"].value
    assert "less than 0.1 CPU s, under 1 % of a training run" in found.answer or "0.101 CPU s" in found.answer


def test_the_charge_of_every_arm_is_the_slow_sum(tmp_path):
    """Over all records by plain loops, with times that differ from run to run; all train for the baseline's tokens."""

    def noisy(training, scoring):
        def change(record):
            factor = 1 + 0.1 * ((record["seed"] * 7 + round(scoring)) % 5)
            timed(training * factor, scoring * factor)(record)
            record["stages"][1]["key"] = f"{scoring} {record['seed']}"

        return change

    spent = {"random": 0.0, "dsir": 2.0, "lqs": 31.0}
    arms = [
        Planted({**BASE, "scorer": name}, tokens=10_000 + 60 * number, change=noisy(10.0, seconds))
        for number, (name, seconds) in enumerate(spent.items())
    ]
    panel = panel_of(tmp_path, arms)
    rates = []
    for one in panel.arms:
        for record in one.records:
            (model,) = [s for s in record["stages"] if s["stage"] == "model" and s["own"]]
            rates.append(model["cost"]["cpu_seconds"] / record["training"]["tokens"])
    for one in panel.arms:
        scoring = [
            sum(part["cpu_seconds"] for part in stage["cost"]["used"].values())
            for record in one.records
            for stage in record["stages"]
            if stage["stage"] == "scores"
        ]
        assert one.cost.total("seconds") == pytest.approx(median(rates) * 10_000 + median(scoring))
