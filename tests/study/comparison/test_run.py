"""A real ablation, small: the study's YAML, its runs, what they leave, and the page."""

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from delt_exp.cli.main import main
from delt_exp.study.record import read_study
from tests.helpers import words
from tests.runs import FAST, write_jsonl

pytestmark = pytest.mark.slow

SMALL = (
    "study=order_only", "data_dir=data", "study.seeds=[0]", "training.max_tokens=512", "tokenizer=byte",
    "study.slices.longer.training=[{twice: ['training={epochs: 2, max_tokens: null}']}]",
    "study.slices.grid={scorer: [length, {permuted: ['scorer=permuted']}], selector.ratio: [0.5], orderer: [folding]}",
    *(text for text in FAST if text.startswith(("model.network", "model.context_tokens"))),
)  # fmt: skip


@pytest.fixture
def study(tmp_path, monkeypatch):
    (tmp_path / "data" / "news_agnews").mkdir(parents=True)
    for split, count, seed in (("train", 60, 0), ("validation", 12, 1)):
        rows = [{"text": f"{split} {text}"} for text in words(count, seed)]
        write_jsonl(tmp_path / "data" / "news_agnews" / f"{split}.jsonl", rows)
    monkeypatch.setattr(sys, "argv", ["run.py", *SMALL])
    main()
    return read_study(Path("outputs/order_only"))[0]


def test_the_runs_keep_what_the_page_needs_and_the_page_compares_them(study):
    assert study.finished() == study.runs
    for run in study.runs:
        losses = pq.read_table(Path(run.folder) / "losses.parquet")
        assert set(losses["dataset"].to_pylist()) == {"agnews"}
        assert len(losses) == 12
        (loss,) = (row["value"] for row in run.record()["results"] if row["metric"] == "loss")
        mean = losses["sum_nats"].to_numpy().sum() / losses["num_tokens"].to_numpy().sum()
        np.testing.assert_allclose(mean, loss, rtol=1e-12)
    page = (study.folder / "report.html").read_text()
    assert "Does a score make a better order than chance" in page
    assert "length · 0.5 · folding" in page
    assert "(one seed)" in page
    assert "is not compared" not in page  # the longer baseline is a reference, the others have one budget
