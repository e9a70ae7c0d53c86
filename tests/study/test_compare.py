"""study=compare from the command line, and the page of a sweep of -m: real runs on small texts."""

import json
import re
import sys
from pathlib import Path

import pytest

from delt_exp.cli.main import main
from delt_exp.study.page import write_page
from tests.runs import FAST, command, write_texts

pytestmark = pytest.mark.slow

QUICK = ("training.epochs=null", "training.max_tokens=256")


def test_a_comparison_ends_with_a_verdict_a_table_and_a_page(tmp_path, monkeypatch, capsys):
    write_texts(tmp_path)
    texts = [text for text in FAST if not text.startswith(("scorer.", "training.epochs"))]
    words = ["run.py", *texts, *QUICK, "study=compare", "arms=[scorer=length,scorer=random]", "seeds=2"]
    monkeypatch.setattr(sys, "argv", words)
    main()
    said = capsys.readouterr().err
    assert "power: not known before the baseline (random) has two seeds" in said
    assert re.search(r"length is .*(better|worse|distinguishable).* random", said)
    (folder,) = Path("outputs").glob("compare-length-vs-random-*")
    assert f"study: {folder / 'report.html'}" in said
    assert (folder / "tables" / "leaderboard.csv").exists()
    content = json.loads((folder / "study.json").read_text())
    assert [(run["arm"]["arm"], run["seed"]) for run in content["runs"]] == [
        ("length", 0), ("random", 0), ("length", 1), ("random", 1),
    ]  # fmt: skip
    assert "verdict" in said  # the table


def test_a_sweep_ends_with_a_table_and_a_page(tmp_path, monkeypatch, capsys):
    write_texts(tmp_path)
    command(monkeypatch, "-m", *QUICK, "scorer=length", "orderer=shuffle,sorting", "seed=0,1")
    said = capsys.readouterr().err
    assert "Lowest loss of 2 combinations: " in said
    assert "of 1 pairs differ by more than chance" in said
    (page,) = Path("outputs").glob("sweeps/*/report.html")
    assert f"study: {page}" in said
    rows = (page.parent / "tables" / "results.csv").read_text().splitlines()
    assert rows[0].startswith("orderer,seeds,")
    assert [row.split(",")[:2] for row in rows[1:]] == [["shuffle", "2"], ["sorting", "2"]]
    before = (page.parent / "tables" / "results.csv").read_text()
    assert write_page(page.parent) == page  # python -m delt_exp.study FOLDER
    assert (page.parent / "tables" / "results.csv").read_text() == before


def test_a_sweep_without_losses_has_its_results_on_a_page(tmp_path, monkeypatch, capsys):
    write_texts(tmp_path)
    command(monkeypatch, "-m", *QUICK, "scorer=length", "eval_dataset=none", "seed=0,1")
    assert "Nothing to compare" in capsys.readouterr().err
    assert len(list(Path("outputs").glob("sweeps/*/report.html"))) == 1
