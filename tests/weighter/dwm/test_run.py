"""A whole run with learnt weights: what it refuses, what its record and page say, that its stages are cached."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.helpers import words
from tests.runs import command, records, write_jsonl, write_texts
from tests.test_bad_input import check_fails

pytestmark = pytest.mark.slow

DWM = ("scorer=random", "selector=all", "weighter=dwm", "training.layout=padded", "weighter.weighting_steps=0.5")
SPOILED = (
    "train_dataset=spoiled", "train_dataset.ratio=0.5", "train_dataset@train_dataset.dataset=jsonl",
    "train_dataset.dataset.path=train.jsonl", "train_dataset@train_dataset.other=jsonl",
    "train_dataset.other.path=other.jsonl", "corpus.drop_duplicates=false",
)  # fmt: skip


def test_a_run_shows_its_weights_and_repeats_none_of_it(tmp_path, monkeypatch):
    write_texts(tmp_path)
    write_jsonl(tmp_path / "other.jsonl", [{"text": f"law {i} {text}"} for i, text in enumerate(words(40, seed=3))])
    command(monkeypatch, *DWM, *SPOILED)
    (record,) = records()
    folder = next(Path("outputs/runs").iterdir())
    assert (record["order_verified"], record["data"]["target"]["readers"]) == (True, ["weighter"])
    assert {"weights", "weights_by_stage", "weights_by_source"} <= set(record["evidence"]["figures"])
    page = (folder / "report.html").read_text()
    assert "How the choices and weights were made" in page
    assert "by the target set jsonl of 20 documents" in page
    by_source = pq.read_table(folder / "evidence" / "weights_by_source.parquet").to_pydict()
    assert sorted(by_source["source"]) == ["clean", "garbled", "other domain", "repeated", "shuffled"]
    assert np.average(by_source["mean_weight"], weights=by_source["sequences"]) == pytest.approx(1)
    over_time = pq.read_table(folder / "evidence" / "weights_over_time.parquet").to_pydict()
    assert over_time["clean"][0] == pytest.approx(1), "the first stage"
    assert over_time["clean"][-1] != pytest.approx(1, abs=1e-4)
    command(monkeypatch, *DWM, *SPOILED)
    (again,) = records()
    assert again["evidence"] == record["evidence"]
    assert again["reused_by"][-1]["computed"] == []


@pytest.mark.parametrize("other", ["train", "eval"])
def test_validation_documents_that_are_trained_or_measured_are_refused(tmp_path, monkeypatch, capsys, other):
    write_texts(tmp_path)
    target = (tmp_path / "target.jsonl").read_text()
    (tmp_path / "target.jsonl").write_text(target + (tmp_path / f"{other}.jsonl").read_text().splitlines(True)[0])
    name = {"train": "the candidates", "eval": "eval"}[other]
    check_fails(monkeypatch, capsys, [f"1 with {name}", "decontaminate=true"], *DWM)
    assert not Path("outputs/store/scores").exists()
    command(monkeypatch, *DWM, "decontaminate=true")
    assert records()[0]["order_verified"]


def test_fewer_steps_than_stages_are_found_before_scoring(tmp_path, monkeypatch, capsys):
    write_texts(tmp_path)
    check_fails(monkeypatch, capsys, ["weighter.num_stages is 99", "use fewer stages"], *DWM, "weighter.num_stages=99")
    assert not Path("outputs/store/scores").exists()


def test_a_dry_run_says_what_the_weights_cost(tmp_path, monkeypatch, capsys):
    write_texts(tmp_path)
    command(monkeypatch, *DWM, "dry_run=true", "trainer.micro_batch_items=4")
    shown = capsys.readouterr().err
    for phase in ("weights: batches read first", "weights: validation gradients", "weights: products with sequences"):
        assert phase in shown
