"""The study of known mixtures counts the truth over the candidates and says how far each estimate is off."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from delt_exp.errors import DataError
from delt_exp.files import read_json, write_json
from delt_exp.study.proportions.report import ProportionReport
from delt_exp.study.record import PlannedRun, StudyRecord

REPORT = ProportionReport(
    dataset="proportions", mixture="mixture", temperature="temperature", honest="1", alpha=0.05
)  # fmt: skip
SOURCES, TOKENS = ["news"] * 6 + ["code"] * 4, [10] * 6 + [30] * 4  # by document 0.6 and 0.4, by token 1/3 and 2/3


def around(value):
    return [value - 0.06, value + 0.06]


def finished_run(folder, temperature, shares, *, seed=0, unit="documents", sources=SOURCES, ends=around):
    folder.mkdir(parents=True)
    rows = [
        {"dataset": f"proportions/{label}", "metric": f"share_{estimate}", "value": value,
         "stderr": 0.05 if estimate in ("soft", "hard") else None, "unit": f"share of {unit}",
         "interval": ends(value) if estimate in ("soft", "hard") else None}
        for estimate, pair in shares.items()
        for label, value in zip(("news", "code"), pair, strict=True)
    ]  # fmt: skip
    write_json(folder / "record.json", {"id": "x", "results": rows})
    pq.write_table(pa.table({"source": sources, "tokens": TOKENS[: len(sources)]}), folder / "scores.parquet")
    return PlannedRun({"mixture": "mostly news", "temperature": temperature}, seed, [], ["all"], str(folder), None)


def shares(soft):
    return {"soft": (soft, 1 - soft), "hard": (0.7, 0.3), "raw": (0.9, 0.1), "first_token": (0.3, 0.7)}


def findings(tmp_path, *runs):
    return REPORT.findings(StudyRecord(tmp_path, "proportion_detection", "", {}, list(runs), []))


def rows_of(found, name):
    return next(table for table in found.tables if table.name == name).rows


def test_the_estimate_is_held_against_guesses_that_ask_no_model_and_against_other_temperatures(tmp_path):
    """Truth 0.6, 0.4: equal shares are 0.1 off, the first token 0.3, the estimate 0.02, and 0.2 at temperature 0.7."""
    runs = [
        finished_run(tmp_path / f"{temperature}-{seed}", temperature, shares(soft + step * seed), seed=seed)
        for temperature, soft, step in (("1", 0.62, 0.001), ("0.7", 0.8, 0.002))
        for seed in (0, 1, 2)
    ]
    found = findings(tmp_path, *runs)
    rivals = {row[0]: (row[1], row[2].value) for row in rows_of(found, "verdicts")}
    assert rivals == {
        "equal shares": ("better", pytest.approx(0.021 - 0.1)),
        "first token": ("better", pytest.approx(0.021 - 0.3)),
        "the same at temperature 0.7": ("better", pytest.approx(0.021 - 0.202)),
    }
    assert "; the same at temperature 0.7 -0.181" in found.answer
    assert found.answer.startswith("The corrected estimate is nearer to the true shares than equal shares: ")


def test_what_an_estimate_says_of_another_mixture_is_how_much_it_is_about_its_own(tmp_path):
    """Truths (0.6, 0.4) and (0.4, 0.6), each estimated rightly: the other's estimate is 0.2 off."""
    runs = []
    for seed in (0, 1):
        for mixture, sources, soft in (("one", SOURCES, 0.6), ("two", ["news"] * 4 + ["code"] * 6, 0.4)):
            run = finished_run(
                tmp_path / f"{mixture}-{seed}", "1", shares(soft + 0.001 * seed), seed=seed, sources=sources
            )
            runs.append(replace(run, arm={"mixture": mixture, "temperature": "1"}))
    rivals = {row[0]: row[2].value for row in rows_of(findings(tmp_path, *runs), "verdicts")}
    assert rivals["the estimate of another mixture"] == pytest.approx(-0.2, abs=0.002)


def test_total_variation_and_rank_order_by_hand(tmp_path):
    runs = [finished_run(tmp_path / t, t, shares(soft)) for t, soft in (("1", 0.55), ("0.7", 0.4))]
    found = findings(tmp_path, *runs)
    rows = {(row[0], row[2]): row[3:] for row in found.tables[0].rows}
    assert rows["1", "corrected, from posteriors"] == pytest.approx([0.05, "1 of 1", 1])
    assert rows["1", "corrected, from labels"][0] == pytest.approx(0.1)
    assert rows["1", "uncorrected"][0] == pytest.approx(0.3)
    assert rows["1", "first token"][:2] == [pytest.approx(0.3), "0 of 1"]
    assert rows["0.7", "corrected, from posteriors"][:2] == [pytest.approx(0.2), "0 of 1"]
    assert "2 of 2 true shares lie in the detector's interval" in found.answer


@pytest.mark.parametrize(
    ("ends", "inside"),
    [
        (lambda value: [value - 0.01, value + 0.055], 1),  # 0.6 is in [0.54, 0.605], 0.4 is not in [0.44, 0.505]
        (lambda value: [value - 0.2, value + 0.2], 2),
        (lambda value: [value, value], 0),
    ],
)
def test_whether_the_truth_is_inside_is_told_by_the_interval_that_users_get_and_not_by_errors(tmp_path, ends, inside):
    found = findings(tmp_path, finished_run(tmp_path / "a", "1", shares(0.55), ends=ends))
    assert f"{inside} of 2 true shares lie in the detector's interval" in found.answer
    row = next(row for row in found.tables[1].rows if row[3] == "news")
    assert (row[5].low, row[5].high) == tuple(ends(0.55))


def test_a_run_without_intervals_is_refused(tmp_path):
    run = finished_run(tmp_path / "a", "1", shares(0.55))
    record = read_json(tmp_path / "a" / "record.json")
    for row in record["results"]:
        del row["interval"]
    write_json(tmp_path / "a" / "record.json", record)
    with pytest.raises(DataError, match="has no intervals of the shares"):
        findings(tmp_path, run)


def test_two_seeds_give_an_interval(tmp_path):
    runs = [finished_run(tmp_path / f"{seed}", "1", shares(soft), seed=seed) for seed, soft in ((0, 0.55), (1, 0.75))]
    cell = rows_of(findings(tmp_path, *runs), "errors")[0][3]
    assert cell.value == pytest.approx(0.1)
    assert cell.low < 0.05 < 0.15 < cell.high


def test_shares_of_tokens_are_compared_with_tokens(tmp_path):
    run = finished_run(tmp_path / "a", "1", shares(1 / 3), unit="tokens")
    assert findings(tmp_path, run).tables[0].rows[0][3] == pytest.approx(0)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"temperature": "0.7", "shares": shares(0.5)}, "no run at temperature=1 is finished"),
        ({"temperature": "1", "shares": {}}, "choose eval_dataset=proportions"),
        ({"temperature": "1", "shares": shares(0.5), "sources": ["news"] * 5 + ["law"] * 5}, "is not both a part"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(tmp_path, run, message):
    with pytest.raises(DataError, match=message):
        findings(tmp_path, finished_run(tmp_path / "a", **run))
