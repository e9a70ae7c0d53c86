"""The detection study reads scores, and what was annotated exactly by its name among the evidence."""

import re
from itertools import product

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from delt_exp.dataset.spoiled import CLEAN
from delt_exp.files import write_json
from delt_exp.quantity import Meaning
from delt_exp.scorer.table import ScoreTable
from delt_exp.store.evidence import Evidence
from delt_exp.study.detection import DetectionReport
from delt_exp.study.record import PlannedRun, StudyRecord

IDS = np.arange(8, dtype=np.uint64) * 3
SOURCES = [CLEAN] * 4 + ["shuffled"] * 4
# Of the 16 pairs of a clean and a planted document, the clean one is better in 15.
GOODNESS = np.array([8, 7, 6, 4, 5, 3, 2, 1], np.float32)


def finished_run(folder, scorer, seed, annotated, goodness=GOODNESS, sources=SOURCES):
    folder.mkdir(parents=True)
    write_json(folder / "record.json", {"id": "x"})
    ids = np.arange(len(goodness), dtype=np.uint64) * 3
    ScoreTable(ids, goodness, Meaning("score", "none", "higher", "For a test.")).save(folder / "scores.parquet")
    table = pq.read_table(folder / "scores.parquet").append_column("source", pa.array(sources))
    pq.write_table(table, folder / "scores.parquet")
    if annotated:
        rows = [6, 0, 3, 7]  # in another order than the corpus: one clean and one planted pair the wrong way round
        columns = {"id": IDS[rows], "lqs": [0.0, 9.0, 8.0, 1.0], "quality": [5.0, 9.0, 4.0, 1.0]}
        Evidence(folder / "evidence").table("annotated", columns, "Each document under the four scores.")
    return PlannedRun({"corpus": "news", "scorer": scorer}, seed, [], ["all"], str(folder), None)


@pytest.mark.parametrize("annotated", [True, False])
def test_what_was_annotated_is_a_scorer_of_its_own_on_its_own_documents(tmp_path, annotated):
    runs = [
        finished_run(tmp_path / f"{scorer}{seed}", scorer, seed, annotated and scorer == "lqs")
        for scorer in ("lqs", "random")
        for seed in (0, 1)
    ]
    study = StudyRecord(tmp_path, "detection", "", {}, runs, [])
    found = DetectionReport(panel="corpus", baseline="random", alpha=0.05).findings(study)
    found_tables = found.tables
    table = next(one for one in found_tables if one.name == "verdicts")
    found = {row[0]: row[5].value for row in table.rows}
    expected = {"lqs": 15 / 16, "random": 15 / 16}
    if annotated:
        expected |= {"lqs, annotated": 1.0, "quality, annotated": 3 / 4}
    assert found == pytest.approx(expected)
    assert not any(table.name == "found" for table in found_tables)  # one kind of damage is the verdict itself


def test_what_a_score_finds_and_cannot_see_is_told_by_kind_and_what_is_not_shown_with_its_interval(tmp_path):
    """`sees` puts shuffled documents below clean ones and repeated ones above; of garbled ones it knows nothing."""
    sources = np.repeat([CLEAN, "garbled", "repeated", "shuffled"], 40)
    levels = {CLEAN: 0.0, "garbled": 0.0, "repeated": 3.0, "shuffled": -3.0}
    runs = []
    for scorer, seed in product(("sees", "random"), (0, 1, 2)):
        rng = np.random.default_rng([seed, len(scorer)])
        level = np.array([levels[name] for name in sources]) * (scorer == "sees")
        goodness = (level + rng.normal(0, 1, len(sources))).astype(np.float32)
        runs.append(finished_run(tmp_path / f"{scorer}{seed}", scorer, seed, False, goodness, sources))
    found = DetectionReport(panel="corpus", baseline="random", alpha=0.05).findings(
        StudyRecord(tmp_path, "detection", "", {}, runs, [])
    )
    table = next(one for one in found.tables if one.name == "found")
    (finds, unknown, prefers, panel) = next(row[1:] for row in table.rows if row[0] == "sees")
    assert re.fullmatch(r"shuffled (0\.9\d|1\.00)", finds)
    assert re.fullmatch(r"garbled 0\.\d\d \[0\.[34]\d, 0\.[56]\d\]", unknown)
    assert re.fullmatch(r"repeated 0\.0\d", prefers)
    assert panel == "news"
    # Together they cancel: the score is not distinguishable from a random one, and the answer says what would be.
    assert re.search(r"Not distinguishable from random on news: sees 0\.[45]\d+ \[", found.answer)
    assert "would be detected" in found.answer
