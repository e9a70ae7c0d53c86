"""`python -m delt_exp.alignment`, and the same as a function call."""

import csv
import json
import re
import sys
from pathlib import Path

import pytest

from delt_exp.alignment.align import align
from delt_exp.cli.alignment import main
from delt_exp.errors import DataError
from tests.alignment.tiny import sentences
from tests.runs import write_jsonl

TINY_PROBE = (
    "alignment=task2vec",
    "train_dataset@probe.dataset=stdlib_prose",
    "probe.dataset.max_bytes=20_000",
    "tokenizer@probe.tokenizer=byte",
    "probe.recipe.network.config.hidden_size=16",
    "probe.recipe.network.config.intermediate_size=16",
    "probe.recipe.network.config.num_hidden_layers=1",
    "probe.train_tokens=2048",
    "alignment.task2vec.context_tokens=16",
    "alignment.task2vec.batch_documents=4",
    "alignment.task2vec.num_batches=3",
)


@pytest.fixture(autouse=True)
def files():
    for name, seed, disguised in (("one", 1, False), ("two", 2, False), ("far-off", 3, True)):
        write_jsonl(Path(f"{name}.jsonl"), [{"text": text} for text in sentences(12, seed=seed, disguised=disguised)])
    Path("plain.txt").write_text("\n\n".join(sentences(12, seed=4)))


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["alignment", *arguments])
    main()
    return capsys.readouterr().out


def values(folder):
    rows = csv.DictReader((folder / "coefficients.csv").open())
    return {(row["train"], row["evaluation"]): float(row["value"]) for row in rows}


def fails(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["alignment", *arguments])
    with pytest.raises(SystemExit) as leaving:
        main()
    assert leaving.value.code == 1
    (line,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith("error: ")]
    return line


def test_two_texts_give_a_coefficient_with_its_interval(monkeypatch, capsys):
    out = run(monkeypatch, capsys, "one.jsonl", "plain.txt", "alignment=ncd", "alignment.ncd.codec=zlib")
    title, line, files = out.splitlines()
    assert title.startswith("zlib alignment [1 - NCD]")
    value, low, high = map(float, re.findall(r"\d\.\d+", line.removeprefix("one -> plain: ")))
    assert 0 < low < value < high < 1
    folder = Path(files.rpartition(": ")[2])
    (row,) = csv.DictReader((folder / "coefficients.csv").open())
    assert float(row["value"]) == pytest.approx(value, abs=1e-4)
    assert json.loads((folder / "settings.json").read_text())["settings"]["codec"] == "zlib"
    assert not (folder / "heatmap.png").exists()


@pytest.mark.slow
def test_more_texts_give_every_pair_and_a_picture(monkeypatch, capsys):
    out = run(monkeypatch, capsys, "one.jsonl", "two.jsonl", "far-off.jsonl", "alignment=unigram", "tokenizer=byte")
    folder = Path(out.splitlines()[-1].rpartition(": ")[2])
    rows = values(folder)
    assert len(rows) == 9
    assert rows["one", "two"] > rows["one", "far_off"]
    assert (folder / "heatmap.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_task2vec_is_the_default_and_names_its_probe(monkeypatch, capsys):
    out = run(monkeypatch, capsys, "one.jsonl", "two.jsonl", "far-off.jsonl", *TINY_PROBE[1:])
    folder = Path(out.splitlines()[-1].rpartition(": ")[2])
    rows = values(folder)
    assert rows["one", "two"] == pytest.approx(rows["two", "one"])
    assert rows["one", "two"] > rows["one", "far_off"]
    probe = json.loads((folder / "settings.json").read_text())["settings"]["probe"]
    assert probe["class"] == "DatasetProxy"
    assert probe["dataset"]["content"]


@pytest.mark.slow
def test_one_text_gives_its_diversity_between_bounds(monkeypatch, capsys):
    out = run(monkeypatch, capsys, "one.jsonl", *TINY_PROBE)
    assert out.startswith("Task2Vec diversity of one: 0.")
    assert "(one token)" in out
    assert "(random tokens)" in out


def test_a_function_call_gives_what_the_command_gives(monkeypatch, capsys):
    out = run(monkeypatch, capsys, "one.jsonl", "two.jsonl", "alignment=ncd")
    found = align(sentences(12, seed=1), sentences(12, seed=2), "alignment=ncd")
    assert f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]" in out


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("one.jsonl", "train is 'one.jsonl', where a list of texts is needed; give one text as [text]"),
        (Path("one.jsonl"), "train is 'one.jsonl'"),
        (["a text", {"text": "another"}], "train[1] is dict, not a text (str)"),
    ],
)
def test_a_function_call_takes_texts_alone_and_no_file(wrong, message):
    with pytest.raises(DataError, match=re.escape(message)):
        align(wrong, sentences(12), "alignment=ncd")
    with pytest.raises(DataError, match=re.escape(message.replace("train", "evaluation"))):
        align(sentences(12), wrong, "alignment=ncd")


@pytest.mark.parametrize("names", [["one.jsonl"], ["one.jsonl", "two.jsonl"]], ids=len)
def test_too_few_documents_are_refused_before_the_probe_is_trained(names, monkeypatch, capsys):
    line = fails(monkeypatch, capsys, *names, *TINY_PROBE, "alignment.task2vec.batch_documents=13")
    assert "batch_documents=13 is more than the 12 documents" in line
    assert not Path("outputs/store/model").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wikitxt"], "train_dataset has no option 'wikitxt'"),
        (["one.jsonl", "none.jsonl"], "there is no file none.jsonl"),
        (["one.jsonl", "two.jsonl", "alignment=ncc"], "alignment has no option 'ncc', did you mean 'ncd'"),
        (["one.jsonl", "two.jsonl", "alignment=ncd", "alignment.ncd.codek=lz4"], "did you mean 'alignment.ncd.codec'"),
        (["one.jsonl", "two.jsonl", "alignment=none"], "0 alignment metrics are chosen"),
        (["one.jsonl", "alignment=ncd"], "give two to compare them"),
        (["one.jsonl", "one.jsonl"], "have the same name"),
        (["alignment=ncd"], "give at least one DATASET"),
        (["one.jsonl", "two.jsonl", "--fast"], "there is no option '--fast'"),
    ],
)
def test_a_mistake_is_one_message(monkeypatch, capsys, arguments, message):
    assert message in fails(monkeypatch, capsys, *arguments)


def test_the_help_page_shows_the_usage(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["alignment", "--help"])
    with pytest.raises(SystemExit) as leaving:
        main()
    assert leaving.value.code == 0
    assert "DATASET DATASET" in capsys.readouterr().out
