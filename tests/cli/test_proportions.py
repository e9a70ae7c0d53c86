"""`python -m delt_exp.proportions`: shares of any model's domains on one screen, and mistakes in one line."""

import re
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer as RustTokenizer
from transformers import PreTrainedTokenizerFast

from delt_exp.cli.proportions import main
from tests.eval_dataset.models import make_model
from tests.helpers import words
from tests.runs import write_jsonl

SMALL = (
    "eval_dataset.proportions.detector.num_texts=20",
    "eval_dataset.proportions.detector.max_new_tokens=8",
    "eval_dataset.proportions.detector.num_bootstraps=5",
)


@pytest.fixture
def model(tmp_path):
    for seed, name in enumerate(("one", "two")):
        write_jsonl(Path(f"{name}.jsonl"), [{"text": text} for text in words(30, seed)])
    trained = make_model(tmp_path, 128)
    tokenizer = trained.tokenizer.pretrained()
    tokenizer.save_pretrained(trained.pretrained)
    return trained


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["proportions", *map(str, arguments)])
    main()


def fails(monkeypatch, capsys, *arguments):
    with pytest.raises(SystemExit) as leaving:
        run(monkeypatch, *arguments)
    assert leaving.value.code == 1
    (line,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith("error: ")]
    return line


@pytest.mark.slow
def test_each_domain_gets_its_share_with_an_interval(monkeypatch, capsys, model):
    run(monkeypatch, model.pretrained, "one.jsonl", "two.jsonl", *SMALL)
    title, one, two, worth, place = capsys.readouterr().out.splitlines()
    assert title == "share of documents by 20 texts of the model, with 95 % interval"
    shares = [re.match(r"(\w+) +([\d.]+) \[([\d.]+), ([\d.]+)\]", line).groups() for line in (one, two)]
    assert [label for label, *_ in shares] == ["one", "two"]
    assert sum(float(value) for _, value, _, _ in shares) == pytest.approx(1, abs=2e-3)
    assert "held-out texts" in worth
    assert Path(place.removeprefix("all numbers: ")).is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MODEL", "one.jsonl"], "give a MODEL and at least two DOMAINs"),
        (["MODEL", "one.jsonl", "two.jsonl", "--fast"], "there is no option '--fast'"),
        (["MODEL", "one.jsonl", "gone.jsonl"], "there is no file gone.jsonl"),
        (["MODEL", "one.jsonl", "no_such_corpus"], "no_such_corpus"),
        (["nowhere", "one.jsonl", "two.jsonl"], "nowhere"),
        (["MODEL", "one.jsonl", "two.jsonl", f"{SMALL[0][:-2]}1"], "num_texts=1"),
    ],
)
def test_mistakes_are_told_in_one_line(monkeypatch, capsys, model, arguments, message):
    given = [str(model.pretrained) if text == "MODEL" else text for text in arguments]
    assert message in fails(monkeypatch, capsys, *given)


@pytest.mark.slow
def test_a_model_without_begin_token_is_refused_until_the_user_says_what_stands_before_a_text(
    monkeypatch, capsys, model
):
    rust = RustTokenizer.from_file(str(model.pretrained / "tokenizer.json"))
    end = model.tokenizer.pretrained().eos_token
    for file in model.pretrained.glob("*token*"):
        file.unlink()
    PreTrainedTokenizerFast(tokenizer_object=rust, eos_token=end).save_pretrained(model.pretrained)
    line = fails(monkeypatch, capsys, model.pretrained, "one.jsonl", "two.jsonl", *SMALL)
    assert "has no bos token; use tokenizer.begin=auto or tokenizer.begin=eos" in line
    run(monkeypatch, model.pretrained, "one.jsonl", "two.jsonl", "tokenizer.begin=eos", *SMALL)
    assert "share of documents" in capsys.readouterr().out
