"""The reports that relate alignment and tokens to loss, on studies whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from delt_exp.errors import ConfigError, DataError
from delt_exp.files import write_json
from delt_exp.study.alignment.exchange import ExchangeReport
from delt_exp.study.alignment.report import AlignmentReport
from delt_exp.study.page import write_page
from delt_exp.study.record import PlannedRun, StudyRecord

DOMAINS = ("news", "novels", "code", "patents", "drama")
SECONDS = {"train_seconds": 2.0, "pair_seconds": 0.5}
REPORT = {
    "corpus": "train_dataset",
    "primary": "task2vec",
    "covariates": ["unigram"],
    "kinds": {},
    "alpha": 0.05,
    "resamples": 200,
    "seed": 0,
}


def study(folder, loss, tokens=(1000,), trains=(*DOMAINS, "news + novels")):
    """Write a finished study: `loss(alignment, tokens)` on every domain, alignment 1 at home and random elsewhere."""
    rng, runs = np.random.default_rng(0), []
    for train in trains:
        row = {name: 1.0 if name in train.split(" + ") else rng.uniform(0.2, 0.6) for name in DOMAINS}
        for budget in tokens:
            run = folder / "runs" / f"{train}-{budget}"
            write_json_in(run / "record.json", {
                "training": {"tokens": budget},
                "results": [
                    {"dataset": name, "metric": "loss", "value": loss(value, budget)} for name, value in row.items()
                ],
                "alignment": [
                    {"metric": metric, "evaluation": name, "trained": {"value": shown(value), **SECONDS}}
                    for name, value in row.items()
                    for metric, shown in (("task2vec", lambda v: v), ("unigram", lambda v: -1 / v))
                ],
            })  # fmt: skip
            arm = {"train_dataset": train, "training.max_tokens": str(budget)}
            runs.append(PlannedRun(arm, 0, [f"train_dataset={train}"], ["all"], str(run), None))
    return StudyRecord(folder / "study", "pretrain", "Does it?", {}, runs, [])


def write_json_in(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, content)


def table(findings, name):
    found = next(table for table in findings.tables if table.name == name)
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def test_a_loss_that_falls_with_alignment_is_found_with_its_slope(tmp_path):
    findings = AlignmentReport(**REPORT).findings(study(tmp_path, lambda value, tokens: 6 - 2 * value))
    task2vec, unigram = table(findings, "metrics")
    assert task2vec["r"].value == pytest.approx(-1)
    assert task2vec["slope"].value == pytest.approx(-2)
    assert task2vec["pairs"] == 6 * 5
    assert task2vec["r off the diagonal"].value == pytest.approx(-1)
    assert (task2vec["seconds per corpus"], task2vec["seconds per pair"]) == (2, 0.5)
    assert -1 < unigram["r"].value < -0.8
    assert findings.answer.startswith("task2vec: r = -1.00")


def test_a_covariate_that_was_not_measured_is_not_said_to_be_given(tmp_path):
    some = study(tmp_path, lambda value, tokens: 6 - 2 * value + 0.3 * np.sin(99 * value))
    findings = AlignmentReport(**{**REPORT, "covariates": ["unigram", "ngram"]}).findings(some)
    assert "Partial r given unigram: task2vec" in findings.answer
    added = next(table for table in findings.tables if table.name == "added")
    assert (added.title, added.columns[1]) == ("What a metric adds to unigram", "given unigram")


def test_a_pair_is_on_the_diagonal_where_the_domain_was_trained_on_also_in_a_mixture(tmp_path):
    at_home = study(tmp_path, lambda value, tokens: 3.0 if value == 1 else 6.0 + value)
    (row, _) = table(AlignmentReport(**REPORT).findings(at_home), "metrics")
    assert row["r"].value < -0.8  # all of it is the difference between home and away
    assert row["r off the diagonal"].value == pytest.approx(1)


def test_the_best_metric_is_named_when_it_is_another_one(tmp_path):
    some = study(tmp_path, lambda value, tokens: 1 / value + 0.01 * np.sin(99 * value))
    findings = AlignmentReport(**REPORT).findings(some)
    assert "unigram has the strongest correlation with the loss (r = -1.00)" in findings.answer


def test_the_figure_holds_every_point_of_every_metric_and_a_button_for_each(tmp_path):
    (figure,) = AlignmentReport(**REPORT).findings(study(tmp_path, lambda value, tokens: 6 - value)).figures
    buttons = figure.spec["layout"]["updatemenus"][0]["buttons"]
    assert [button["label"] for button in buttons] == ["task2vec", "unigram"]
    shown = [trace for trace in figure.spec["data"] if trace["visible"] and "text" in trace]
    assert sum(len(trace["x"]) for trace in shown) == 30
    hidden = [trace for trace in figure.spec["data"] if not trace["visible"] and "text" in trace]
    assert sum(len(trace["x"]) for trace in hidden) == 30
    assert shown[-1]["text"][0] == "news + novels → news"
    for button in buttons:
        assert len(button["args"][0]["visible"]) == len(figure.spec["data"])


def test_the_exchange_rate_is_that_of_the_planted_loss(tmp_path):
    # Half a nat a doubling, two nats per alignment: a standard deviation s of alignment is 2 s nats, 4 s doublings.
    planted = study(tmp_path, lambda value, tokens: 20 - 0.5 * np.log2(tokens) - 2 * value, tokens=(1000, 2000, 8000))
    findings = ExchangeReport(**REPORT).findings(planted)
    (row, _) = table(findings, "exchange")
    assert row["nats/token per doubling"] == pytest.approx(-0.5)
    deviation = row["standard deviation of alignment"]
    assert deviation > 0
    assert row["is worth [nats/token]"] == pytest.approx(2 * deviation)
    assert row["is worth [times the tokens]"].value == pytest.approx(2 ** (4 * deviation))
    assert f"a standard deviation of alignment ({deviation:.2g}) is worth a factor of" in findings.answer
    (figure,) = findings.figures
    assert all(trace["x"] == [1000, 2000, 8000] for trace in figure.spec["data"])
    assert sum(trace["showlegend"] for trace in figure.spec["data"]) == 6


def test_a_seed_that_is_not_finished_for_all_corpora_waits(tmp_path, capsys):
    """Of the second seed, whose losses are other ones, two corpora are finished; then all are."""
    first, second = (study(tmp_path / name, loss) for name, loss in (
        ("first", lambda value, tokens: 6 - 2 * value), ("second", lambda value, tokens: 9 + value)))  # fmt: skip
    later = [replace(run, seed=1) for run in second.runs]

    def slope(runs):
        return table(AlignmentReport(**REPORT).findings(replace(first, runs=runs)), "metrics")[0]["slope"].value

    assert slope([*first.runs, *later[:2]]) == pytest.approx(-2)
    assert "10 of 40 pairs wait until their seed is finished for all corpora" in capsys.readouterr().err
    assert slope([*first.runs, *later]) == pytest.approx((-2 + 1) / 2)


def test_a_metric_that_was_not_measured_is_refused(tmp_path):
    some = study(tmp_path, lambda value, tokens: 6 - value)
    with pytest.raises(ConfigError, match=r"study\.report\.primary='ncd'"):
        AlignmentReport(**REPORT | {"primary": "ncd"}).findings(some)


def test_runs_without_alignment_say_what_to_choose(tmp_path):
    some = study(tmp_path, lambda value, tokens: 6 - value, trains=("news",))
    write_json_in(tmp_path / "runs" / "news-1000" / "record.json", {
        "training": {"tokens": 1}, "results": [], "alignment": [],
    })  # fmt: skip
    with pytest.raises(DataError, match="no finished run has both a loss and an alignment"):
        AlignmentReport(**REPORT).findings(some)


@pytest.mark.slow
def test_the_page_says_the_answer_and_keeps_the_numbers(tmp_path):
    some = study(tmp_path, lambda value, tokens: 6 - 2 * value)
    some.write({"report": {"_target_": "delt_exp.study.alignment.report.AlignmentReport", **REPORT}})
    page = write_page(some.folder).read_text()
    assert "task2vec: r = -1.00" in page
    points = (some.folder / "tables" / "points.csv").read_text().splitlines()
    assert len(points) == 1 + 30
    assert points[0] == "trained on,evaluation set,seed,tokens,loss [nats/token],task2vec,unigram"


def test_a_record_of_another_version_is_an_error_with_its_cure(tmp_path):
    some = study(tmp_path, lambda value, tokens: 6 - 2 * value)
    some.write({"report": {"_target_": "delt_exp.study.alignment.report.AlignmentReport", **REPORT}})
    path = tmp_path / "runs" / "news-1000" / "record.json"
    path.write_text(path.read_text().replace("pair_seconds", "seconds"))
    with pytest.raises(DataError, match=r"has no 'pair_seconds'.*repeat the command"):
        write_page(some.folder)
