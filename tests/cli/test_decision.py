"""`python -m delt_exp.decision`: an accuracy on the screen, a page and tables, and mistakes in one line."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from delt_exp.cli.decision import main

REGMIX = Path(os.environ.get("DELT_DATA_DIR", Path(__file__).parents[3] / "shared" / "data")) / "regmix"


def write_table(path, noise, seeds=(0, 1, 2)):
    """Ten arms one apart: right in their order at 10M; at 1M with this much noise on top."""
    rng = np.random.default_rng(0)
    rows = [
        (arm, size, seed, number + rng.normal(0, 0.1 if size == "10M" else noise))
        for number, arm in enumerate(["<b>", *"abcdefghi"])
        for size in ("10M", "1M")
        for seed in seeds
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("arm", "size", "seed", "outcome"), *rows])
    return str(path)


def test_the_accuracy_stands_first_and_every_size_has_a_line(tmp_path, capsys):
    main([write_table(tmp_path / "t.csv", noise=0.1), "--large", "10M", "--out", str(tmp_path / "out")])
    text = capsys.readouterr().out
    assert text.startswith("1M orders 100 % [")
    assert "of pairs of 10 arms as 10M does." in text
    assert "clear pairs 100 %" in text
    assert "signal-to-noise" in text


def test_noise_decides_nothing(tmp_path, capsys):
    main([write_table(tmp_path / "t.csv", noise=1e6), "--large", "10M", "--out", str(tmp_path / "out")])
    assert "not shown to be better than chance" in capsys.readouterr().out


def test_page_and_tables_hold_the_numbers_and_escape_names(tmp_path, capsys):
    main([write_table(tmp_path / "t.csv", noise=0.1), "--large", "10M", "--out", str(tmp_path / "out")])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "How often does a smaller size give the verdict of 10M?" in page
    assert 'id="figure-decisions"' in page
    rows = list(csv.DictReader((tmp_path / "out" / "tables" / "decisions.csv").open()))
    assert [(row["size"], float(row["decision accuracy"]), row["pairs"]) for row in rows] == [("1M", 1.0, "45")]
    assert (tmp_path / "out" / "tables" / "signal_to_noise.md").exists()
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--large", "2M"], "error: --large '2M': outcome has the sizes 10M, 1M; name one of them"),
        (["--large", "10M", "--alpha", "0"], "error: --alpha is 0; it must lie between 0 and 1"),
        (["--large", "10M", "--arm", "recipe"], "error: "),
        (["--large", "10M", "--out", __file__], f"error: cannot write {__file__}: a file is in the way of the folder"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, capsys, options, message):
    with pytest.raises(SystemExit):
        main([write_table(tmp_path / "t.csv", noise=0.1), *options])
    assert capsys.readouterr().err.startswith(message)


def tables_of_regmix():
    if not REGMIX.is_dir():
        pytest.skip(f"the published tables of RegMix are not in {REGMIX}")
    return [f"{size}={REGMIX / f'test_pile_loss_{size}.csv'}" for size in ("1m", "60m", "1B")]


@pytest.mark.slow
def test_published_tables_of_regmix_are_read_and_agree_with_pairs_counted_one_by_one(tmp_path, capsys):
    small, large, _ = tables_of_regmix()
    main([small, large, "--large", "60m", "--arm", "index", "--wide", "--out", str(tmp_path)])
    assert capsys.readouterr().out.startswith("1m orders ")
    losses = [list(csv.DictReader(Path(one.partition("=")[2]).read_text().splitlines())) for one in (small, large)]
    name = "metric/the_pile_pile_cc_val_loss"
    one, two = ([float(row[name]) for row in sorted(rows, key=lambda row: int(row["index"]))] for rows in losses)
    right = [(one[i] < one[j]) == (two[i] < two[j]) for i in range(256) for j in range(i)]
    rows = {row["metric"]: row for row in csv.DictReader((tmp_path / "tables" / "decisions.csv").open())}
    assert len(rows) == 13
    assert float(rows[name]["decision accuracy"]) == pytest.approx(np.mean(right), abs=1e-4)


def test_other_mixtures_at_the_large_size_are_refused(tmp_path, capsys):
    small, _, large = tables_of_regmix()
    with pytest.raises(SystemExit):
        main([small, large, "--large", "1B", "--arm", "index", "--wide", "--out", str(tmp_path)])
    assert "of the 64 arms at 1B are missing at 1m (0)" in capsys.readouterr().err
