"""A mixture in a real run: shares of what is trained, repetitions, and what is refused before anything is scored."""

from types import SimpleNamespace

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.mixture.mixed import refuse_preferences
from tests.helpers import words
from tests.report.test_page import Page
from tests.runs import arrays, command, records, write_jsonl, write_texts

pytestmark = pytest.mark.slow

LARGE, SMALL = 60, 6
MIXED = (
    "scorer=random", "selector=all", "orderer=shuffle", "trainer.num_workers=0",
    "train_dataset=mixture", "train_dataset.stop=all",
    "+train_dataset@train_dataset.parts.large=jsonl", "train_dataset.parts.large.path=large.jsonl",
    "+train_dataset@train_dataset.parts.small=jsonl", "train_dataset.parts.small.path=small.jsonl",
    "training.epochs=null", "training.max_tokens=3000",
)  # fmt: skip


@pytest.fixture
def texts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_texts(tmp_path)
    for name, count, seed in (("large", LARGE, 3), ("small", SMALL, 4)):
        write_jsonl(tmp_path / f"{name}.jsonl", [{"text": f"{name} {text}"} for text in words(count, seed)])
    return tmp_path


def test_a_run_trains_what_its_mixture_asks_for(texts, monkeypatch):
    command(monkeypatch, *MIXED, "mixture=given", "mixture.shares={large: 0.25, small: 0.75}")
    (record,) = records()
    large, small = sorted(record["mixture"], key=lambda row: row["source"])
    assert record["order_verified"]
    assert (large["share"], small["share"]) == (0.25, 0.75)
    assert small["trained"] == pytest.approx(0.75, abs=0.03)
    assert large["trained"] + small["trained"] == pytest.approx(1)
    assert small["epochs"] == pytest.approx(0.75 * 3000 / small["tokens"])
    assert small["epochs"] > 2
    assert small["natural"] == pytest.approx(small["tokens"] / (small["tokens"] + large["tokens"]))
    order = arrays(next((texts / "outputs" / "runs").iterdir()))
    assert len(set(order["row"])) == len(order["row"]) == LARGE + SMALL
    assert (np.diff(order["step"][order["step"] >= 0]) >= 0).all()
    page = Page(next((texts / "outputs").glob("runs/*/report.html")).read_text())
    assert "Mixture source tokens" in page.text
    assert "small 75 %" in page.text


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["mixture=given"], "mixture.shares is null"),
        (["mixture=given", "mixture.shares={large: 1.0}"], "small has no share"),
        (
            ["mixture=unimax", "mixture.max_epochs=0.01"],
            "raise mixture.max_epochs, or lower training.epochs or training.max_tokens",
        ),
        (["mixture=proposed"], "names nothing"),
        (["mixture=uniform", "~train_dataset.parts.small"], "have 1 source (large)"),
    ],
)
def test_a_mixture_that_cannot_be_had_is_one_message_before_scoring(texts, monkeypatch, capsys, overrides, message):
    with pytest.raises(SystemExit):
        command(monkeypatch, *MIXED, *overrides)
    assert message in capsys.readouterr().err
    assert not list((texts / "outputs" / "store").glob("scores/*"))


def test_preferences_are_not_mixed():
    with pytest.raises(ConfigError, match="preferences are pairs"):
        refuse_preferences(SimpleNamespace(objective=SimpleNamespace(rows_per_sample=2)))
