"""Alignment at several sizes and budgets: planted changes are found, and none where there is none."""

import numpy as np
import pytest

from delt_exp.errors import DataError
from delt_exp.study.alignment.sizes import SizesReport
from delt_exp.study.record import PlannedRun, StudyRecord
from tests.study.alignment.test_report import REPORT, table, write_json_in

SETS = tuple(f"e{number}" for number in range(6))
CELLS = ("small", "large")
SECONDS = {"train_seconds": 2.0, "pair_seconds": 0.5}


@pytest.fixture(scope="module")
def alignments():
    """By metric, of 10 corpora with 6 sets: two metrics that say different things of the loss."""
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(10, len(SETS))) for name in ("task2vec", "unigram")}


def findings(folder, alignments, losses, missing=()):
    """Write a study whose loss in each cell is `losses[cell]` [10, 6], and report on it."""
    runs = []
    for cell, loss in losses.items():
        for corpus, row in enumerate(loss):
            run = folder / "runs" / f"{cell}-{corpus}"
            if (cell, corpus) in missing:
                continue
            write_json_in(run / "record.json", {
                "training": {"tokens": 1},
                "results": [{"dataset": s, "metric": "loss", "value": v} for s, v in zip(SETS, row, strict=True)],
                "alignment": [
                    {"metric": metric, "evaluation": s, "trained": {"value": values[corpus, place], **SECONDS}}
                    for metric, values in alignments.items()
                    for place, s in enumerate(SETS)
                ],
            })  # fmt: skip
            arm = {"train_dataset": f"t{corpus}", "model": cell}
            runs.append(PlannedRun(arm, 0, [f"model={cell}"], ["all"], str(run), None))
    record = StudyRecord(folder / "study", "sizes", "Does it?", {}, runs, [])
    return SizesReport(**REPORT, cells=["model"]).findings(record)


def noise(seed, scale=0.4):
    return scale * np.random.default_rng(seed).normal(size=(10, len(SETS)))


def test_a_ranking_that_turns_round_between_sizes_is_shown(tmp_path, alignments):
    losses = {"small": noise(1) - alignments["unigram"], "large": noise(2) - alignments["task2vec"]}
    found = findings(tmp_path, alignments, losses)
    (row,) = table(found, "ranking")
    assert row["verdict"] == "changes"
    assert row["small"].value > 0 > row["large"].value
    assert "The ranking of metrics changes" in found.headline
    change = {one["metric"]: one["verdict"] for one in table(found, "change")}
    assert change == {"task2vec": "better", "unigram": "worse"}
    assert "From small to large, task2vec says more, unigram says less of the loss." in found.answer


def test_one_metric_that_is_ahead_at_every_size_is_no_change(tmp_path, alignments):
    losses = {cell: noise(7 + seed) - alignments["unigram"] for seed, cell in enumerate(CELLS)}
    found = findings(tmp_path, alignments, losses)
    assert table(found, "ranking")[0]["verdict"] == "unigram first, 2 of 2"
    assert found.headline.startswith(
        "No change in the ranking of metrics is shown between 2 pairs of size and budget: 1 of 1"
    )
    assert [row["rank"] for row in table(found, "cells")] == [2, 1, 2, 1]
    assert {row["verdict"] for row in table(found, "change")} == {"not distinguishable"}
    unigram = table(found, "cells")[1]
    assert unigram["r"].value == pytest.approx(-0.93, abs=0.03)  # -1 / sqrt(1 + 0.4^2)
    assert unigram["r"].low < unigram["r"].value < unigram["r"].high


def test_a_size_that_is_not_finished_is_left_out_and_named(tmp_path, alignments):
    losses = {cell: noise(7 + seed) - alignments["unigram"] for seed, cell in enumerate(CELLS)}
    found = findings(tmp_path, alignments, losses, missing=[("large", 3)])
    assert "Left out until all its corpora are finished: large." in found.answer
    with pytest.raises(DataError, match="no size and budget is finished"):
        findings(tmp_path / "none", alignments, losses, missing=[("large", 3), ("small", 4)])
