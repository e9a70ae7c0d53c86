"""The study of mixtures finds a planted effect, compares by the other half of the documents, and no placebo passes."""

from itertools import product

import numpy as np
import pytest
from omegaconf import OmegaConf

from delt_exp.errors import ConfigError, DataError
from delt_exp.files import write_json
from delt_exp.quantity import Ranged
from delt_exp.study.mixture.compared import Arm
from delt_exp.study.mixture.report import MixtureReport
from delt_exp.study.mixture.verdicts import verdicts
from delt_exp.study.record import PlannedRun, StudyRecord

SOURCES, SETS = ("news", "code", "noise"), ("news", "code")
FLOORS = {"news": 2.0, "code": 1.0}
RATES = {"news": np.array([-1.0, 0.5, 0.8]), "code": np.array([0.5, -1.5, 0.9])}  # noise helps no set
FREE = {"natural": (0.3, 0.1, 0.6), "uniform": (1 / 3, 1 / 3, 1 / 3), "own_domain": (0.5, 0.5, 0.0)}


def report(**changes):
    fields = {
        "objective": {"news": 1, "code": 1},
        "compare_prefix": "",
        "fit_prefix": "fit_",
        "proposed": ["proposed"],
        "free": ["natural", "uniform"],
        "num_bootstraps": 20,
    }
    return MixtureReport(**{**fields, "alpha": 0.05, **changes})


def planted(name, shares):
    return float(FLOORS[name] + np.exp(RATES[name] @ shares))


def finished_run(folder, label, seed, shares, rng, *, draw=None, better=0.0):
    """Write the record of a run; its losses on held-out sets are lower than those on the fitted ones by `better`."""
    rows = [
        {"source": source, "tokens": 10, "natural": natural, "share": share, "trained": share, "epochs": 6 * share}
        for source, share, natural in zip(SOURCES, map(float, shares), FREE["natural"], strict=True)
    ]
    results = [
        {"dataset": f"{prefix}{name}", "metric": "loss", "value": planted(name, shares) + rng.normal(0, 0.002) - gain}
        for name in SETS
        for prefix, gain in (("fit_", 0.0), ("", better))
    ]
    path = folder / f"{label}-{draw}-{seed}"
    path.mkdir(parents=True)
    record = {"id": path.name, "mixture": rows, "results": results, "training": {"flops": 1.0 if draw is None else 0.5}}
    write_json(path / "record.json", record)
    arm = {"mixture": label} if draw is None else {"mixture": label, "mixture.draw": str(draw)}
    return PlannedRun(arm, seed, [], ["all"], str(path), None)


def study_in(
    folder, *, seeds=(0, 1, 2), proposed=(0.46, 0.54, 0.0), labels=("proposed", *FREE), num_drawn=12, unfinished=()
):
    rng, runs = np.random.default_rng(0), []
    for seed in seeds:
        drawn = enumerate(rng.dirichlet([1.0, 1.0, 1.0], num_drawn))
        runs += [finished_run(folder, "dirichlet", seed, shares, rng, draw=draw) for draw, shares in drawn]
        for label in labels:
            runs.append(finished_run(folder, label, seed, {**FREE, "proposed": proposed}[label], rng))
        for label in unfinished:
            runs.append(PlannedRun({"mixture": label}, seed, [], ["all"], str(folder / f"{label}-{seed}"), None))
    return StudyRecord(folder, "mixture", "", {}, runs, [])


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return report().findings(study_in(tmp_path_factory.mktemp("planted")))


def rows_of(found, name):
    return next(table for table in found.tables if table.name == name).rows


def verdicts_of(found):
    return {row[2]: row[1] for row in [*rows_of(found, "verdicts"), *rows_of(found, "other_verdicts")]}


def test_every_proposal_is_compared_and_two_with_each_other_once(tmp_path):
    """The first with its free mixtures, which is the claim; the second with these and with the first, apart."""
    found = report(proposed=["proposed", "own_domain"]).findings(study_in(tmp_path))
    assert [(row[0], row[2]) for row in rows_of(found, "verdicts")] == [
        ("proposed", "natural"),
        ("proposed", "uniform"),
    ]
    others = {(row[0], row[2]) for row in rows_of(found, "other_verdicts")}
    assert others == {("proposed", "own_domain"), ("own_domain", "natural"), ("own_domain", "uniform")}


def test_a_planted_effect_is_found_and_the_free_mixture_that_is_as_good_is_not_called_worse(found):
    said = verdicts_of(found)
    assert said["natural"] == said["uniform"] == "better"
    assert said["own_domain"] != "better"
    assert found.answer.startswith("proposed, which small models propose, is lower than every mixture that costs noth")


def test_one_free_mixture_that_is_as_good_is_enough_for_no_claim(tmp_path):
    found = report(free=list(FREE)).findings(study_in(tmp_path))
    assert found.answer.startswith("It is not shown that proposed, which small models propose, is lower than every mix")
    assert "It is shown to be lower than natural, uniform." in found.answer
    assert "would each be detected with 80 % power" in found.answer


def test_comparisons_to_come_count_in_the_correction_and_leave_the_claim_open(tmp_path):
    study = study_in(tmp_path, labels=("proposed", "natural"), unfinished=["uniform", "own_domain"])
    found = report(free=list(FREE)).findings(study)
    ((first, _, second, _, p, p_holm, _),) = rows_of(found, "verdicts")
    assert (first, second) == ("proposed", "natural")
    assert p_holm == pytest.approx(3 * p)
    assert found.answer.startswith("It is not shown")
    assert "2 of 3 comparisons are still to come" in found.answer


def test_the_claim_is_made_by_chance_no_more_often_than_alpha_and_no_correction_for_its_tests_weakens_it():
    """Five seeds, five free mixtures: the best of them as good as the proposal, or all of them worse by 2.5 sd."""
    rng, names, claims = np.random.default_rng(0), ["a", "b", "c", "d", "e"], {"null": 0, "real": 0}
    for kind, _ in product(claims, range(300)):
        gains = [2.5] * 5 if kind == "real" else [0.0, 9, 9, 9, 9]
        values = {"p": rng.normal(0, 0.5**0.5, 5)}  # differences of two arms have a standard deviation of 1
        values |= {name: gain + rng.normal(0, 0.5**0.5, 5) for name, gain in zip(names, gains, strict=True)}
        arms = [Arm(name, {}, dict(enumerate(of))) for name, of in values.items()]
        claims[kind] += verdicts(arms, list(values), ["p"], names, 0.05).is_lower
    assert claims["null"] <= 18  # 7.5 are expected of a two-sided test
    assert claims["real"] >= 180


def test_objectives_and_differences_are_those_of_the_planted_losses(found):
    by_name = {row[0]: row for row in rows_of(found, "mixtures")}
    minus = {row[2]: row[3] for name in ("verdicts", "other_verdicts") for row in rows_of(found, name)}
    truth = {name: np.mean([planted(one, shares) for one in SETS]) for name, shares in FREE.items()}
    ours = np.mean([planted(one, (0.46, 0.54, 0.0)) for one in SETS])
    for name, value in truth.items():
        assert by_name[name][1].value == pytest.approx(value, abs=0.004)
        assert minus[name].value == pytest.approx(ours - value, abs=0.006)
    assert by_name["natural"][2] == pytest.approx(6 * 0.6)  # most epochs


def test_the_laws_propose_the_lowest_planted_mixture_with_its_interval(found):
    grid = np.linspace(0, 1, 1001)
    lowest = grid[np.argmin([sum(planted(name, (a, 1 - a, 0)) for name in SETS) for a in grid])]
    shares = {row[0]: row[1] for row in rows_of(found, "proposal")}
    assert shares["news"].value == pytest.approx(lowest, abs=0.03)
    assert shares["news"].low <= lowest <= shares["news"].high
    assert shares["noise"].value == pytest.approx(0, abs=1e-6)


def test_effects_of_sources_are_the_planted_ones_inside_their_intervals(found):
    cells = {(row[0], row[1]): row[2] for row in rows_of(found, "effects")}
    inside = []
    for name in SETS:
        # t is 0 on average at the mean of the drawn mixtures, so that differences between sources are what was planted.
        for number, source in enumerate(SOURCES[1:], 1):
            difference = cells[f"fit_{name}", source].value - cells[f"fit_{name}", SOURCES[0]].value
            assert difference == pytest.approx(RATES[name][number] - RATES[name][0], abs=0.3)
        inside += [cells[f"fit_{name}", source].shows(-1.0) for source in [name]]
    assert all(inside)


def test_what_laws_say_of_other_mixtures_is_close_to_what_is_measured(found):
    rows = rows_of(found, "predicted")
    assert len(rows) == 3 * 4
    assert max(abs(row[4]) for row in rows) < 0.02
    assert all(isinstance(row[2], Ranged) and row[2].low <= row[2].value <= row[2].high for row in rows)


def test_a_proposal_from_exchanged_losses_is_not_better(tmp_path):
    found = report().findings(study_in(tmp_path, proposed=(0.1, 0.1, 0.8)))
    assert "better" not in verdicts_of(found).values()
    assert "It is shown to be higher than natural, uniform." in found.answer


def test_mixtures_are_compared_on_documents_that_no_law_has_seen(tmp_path):
    rng = np.random.default_rng(1)
    study = study_in(tmp_path, seeds=(0,))
    study.runs.append(finished_run(tmp_path, "lucky", 0, FREE["natural"], rng, better=0.5))
    rows = {row[0]: row[1] for row in rows_of(report().findings(study), "mixtures")}
    assert rows["lucky"] == pytest.approx(rows["natural"] - 0.5, abs=0.02)


def test_one_seed_gives_no_verdict(tmp_path):
    found = report().findings(study_in(tmp_path, seeds=(0,)))
    assert "shares two seeds with no mixture that costs nothing" in found.answer
    assert not any(table.name.endswith("verdicts") for table in found.tables)


def test_a_page_before_the_proposal_is_finished_shows_the_others(tmp_path):
    found = report().findings(study_in(tmp_path, labels=tuple(FREE), unfinished=["proposed"]))
    assert "No answer yet" in found.answer
    assert [row[0] for row in rows_of(found, "mixtures")] == ["own_domain", "uniform", "natural"]


def test_a_seed_whose_drawn_mixtures_are_not_finished_has_no_laws_yet(tmp_path):
    study = study_in(tmp_path, seeds=(0, 1, 2))
    is_drawn = [run.arm["mixture"] == "dirichlet" for run in study.runs]
    study.runs = [run for run, drawn in zip(study.runs, is_drawn, strict=True) if not (drawn and run.seed == 1)]
    few = [run for run in study.runs if run.arm["mixture"] == "dirichlet" and run.seed == 2][3:]
    study.runs = [run for run in study.runs if run not in few]
    found = report().findings(study)
    assert {row[1] for row in rows_of(found, "predicted")} == {0}
    assert len(rows_of(found, "mixtures")) == 4
    # 12 of seed 0 and 3 of seed 2, each at half the FLOPs of a compared run
    assert "The small models of a seed take 3.8 times the training FLOPs of the model that they are for" in found.answer


def test_means_of_different_seeds_are_not_ranked(tmp_path):
    study = study_in(tmp_path)
    assert "The lowest objective is that of" in report().findings(study).answer
    study.runs = [run for run in study.runs if (run.arm["mixture"], run.seed) != ("natural", 1)]
    assert "The lowest objective" not in report().findings(study).answer


def test_bad_studies_are_refused_with_the_cure(tmp_path):
    with pytest.raises(DataError, match="no mixture is finished beside the drawn ones"):
        report().findings(study_in(tmp_path / "a", labels=()))
    with pytest.raises(DataError, match="has no loss on 'law'"):
        report(objective={"law": 1}).findings(study_in(tmp_path / "b", seeds=(0,)))
    with pytest.raises(DataError, match="at least 5"):
        report().findings(study_in(tmp_path / "c", seeds=(0,), num_drawn=4))
    with pytest.raises(ConfigError, match="no weight above 0"):
        report(objective={"news": 0})
    with pytest.raises(ConfigError, match=r"study\.report\.free is empty"):
        report(free=[])
    with pytest.raises(ConfigError, match="free names 'unimax', which is no choice of the study: proposed, natural"):
        report(free=["natural", "unimax"]).findings(study_in(tmp_path / "d"))


def test_a_proposal_for_another_objective_is_refused_before_anything_runs():
    configs = [OmegaConf.create({"mixture": node}) for node in ({}, {"objective": {"fit_news": 3, "fit_code": 3}})]
    assert report().outlook(configs) == []
    configs[1].mixture.objective = {"fit_news": 2, "fit_code": 3}
    with pytest.raises(ConfigError, match="change one of them"):
        report().outlook(configs)


def test_an_own_domain_share_of_another_objective_is_told_before_anything_runs():
    configs = [OmegaConf.create({"mixture": {"shares": shares}}) for shares in ({"news": 2, "code": 2}, {"news": 1.0})]
    (warning,) = report().outlook(configs)
    assert warning.startswith("warning: mixture.shares={'news': 1.0} is not study.report.objective")
