"""The detection study reads scores, and what was annotated exactly by its name among the evidence."""

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


def finished_run(folder, scorer, seed, annotated):
    folder.mkdir(parents=True)
    write_json(folder / "record.json", {"id": "x"})
    ScoreTable(IDS, GOODNESS, Meaning("score", "none", "higher", "For a test.")).save(folder / "scores.parquet")
    table = pq.read_table(folder / "scores.parquet").append_column("source", pa.array(SOURCES))
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
    table = next(one for one in found.tables if one.name == "verdicts")
    found = {row[0]: row[5].value for row in table.rows}
    expected = {"lqs": 15 / 16, "random": 15 / 16}
    if annotated:
        expected |= {"lqs, annotated": 1.0, "quality, annotated": 3 / 4}
    assert found == pytest.approx(expected)
