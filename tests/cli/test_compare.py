"""`python -m delt_exp.compare`: a verdict on the screen, a page and tables, and mistakes in one line."""

import csv
import re

import pytest

from delt_exp.cli.compare import main
from tests.compare.folders import accuracies, write_folder


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two evaluations of 40 documents each on two tasks; the second is better on one."""
    monkeypatch.chdir(tmp_path)
    same = [1, 0] * 20
    write_folder(tmp_path / "base", {"quiz": accuracies([0] * 30 + [1] * 10), "<b>": accuracies(same)})
    write_folder(tmp_path / "new", {"quiz": accuracies([0] * 10 + [1] * 30), "<b>": accuracies(same)})
    return ["base", "new"]


def said(capsys, *arguments):
    main(arguments)
    return capsys.readouterr().out


def test_the_verdict_stands_first_and_its_weakness_after_it(folders, capsys):
    text = said(capsys, *folders)
    assert text.startswith("new is better than base: +0.25 accuracy [0.1")
    assert "Of 2 tasks, new is better on 1 and worse on 0; 1 are not distinguishable." in text
    assert "another training run of either could differ by more" in text
    assert re.search(r"^quiz +new - base +\+0\.5 \[.*\] accuracy +p \S+ +better$", text, flags=re.M)


def test_a_verdict_that_is_open_names_the_difference_that_would_have_been_found(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for times in (1, 10):
        write_folder(tmp_path / f"a{times}", {"quiz": accuracies([0, 1, 0, 1, 0, 1] * times)})
        write_folder(tmp_path / f"b{times}", {"quiz": accuracies([0, 1, 1, 1, 0, 0] * times)})
    assert "; with so few items no difference can be detected." in said(capsys, "a1", "b1")
    text = said(capsys, "a=a10", "b=b10")
    assert "b and a are not distinguishable: 0 accuracy [" in text
    assert re.search(r"a true difference of 0\.\d+ would have been detected with 80 % power", text)


def test_the_page_shows_everything_and_escapes_names(folders, tmp_path, capsys):
    said(capsys, *folders, "--out", "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "new instead of base?" in page
    assert "better than base" in page
    assert "worse \\u2190 0 \\u2192 better" in page
    assert "<b>" not in page.split("<script")[0]
    assert 'id="figure-verdicts"' in page


def test_the_tables_hold_every_comparison_with_full_precision(folders, tmp_path, capsys):
    said(capsys, *folders, "--out", "out")
    rows = list(csv.DictReader((tmp_path / "out" / "tables" / "verdicts.csv").open()))
    assert [(row["task"], row["verdict"], float(row["minus base"])) for row in rows] == [
        ("overall (2 tasks)", "better", 0.25), ("quiz", "better", 0.5), ("<b>", "not distinguishable", 0.0),
    ]  # fmt: skip
    means = list(csv.DictReader((tmp_path / "out" / "tables" / "means.csv").open()))
    first = next(row for row in means if (row["task"], row["result"]) == ("quiz", "base"))
    assert float(first["value"]) == 0.25
    assert float(first["standard error"]) == pytest.approx((0.25 * 0.75 / 39) ** 0.5)
    assert (tmp_path / "out" / "tables" / "verdicts.md").read_text().startswith("| task | verdict |")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["base"], "error: give at least two results"),
        (["base", "nowhere"], "error: nowhere does not exist"),
        (["base", "new", "--alpha", "2"], "error: --alpha is 2; it must lie between 0 and 1"),
        (["base", "new", "--tasks", "other"], "error: base has no task 'other'; it has quiz, <b>"),
        (["base", "new", "--out", __file__], f"error: cannot write {__file__}: a file is in the way of the folder"),
    ],
)
def test_mistakes_are_told_in_one_line(folders, capsys, arguments, message):
    with pytest.raises(SystemExit):
        main(arguments)
    assert capsys.readouterr().err.startswith(message)
    assert len(message.splitlines()) == 1


def test_help_shows_the_forms_of_a_result(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert "--log_samples" in text
    assert "--lower-is-better" in text
