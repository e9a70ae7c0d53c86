"""The page shows whatever a scorer left, by its captions, and no method by name."""

import re

import pytest

from delt_exp.files import read_json
from delt_exp.report.cautions import cautions
from delt_exp.report.flow import steps
from delt_exp.report.page import write_report
from delt_exp.store.evidence import Evidence, Figure

pytestmark = pytest.mark.slow

EVIL = "<script>alert('x')</script>"


def text_of(path):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", path.read_text()))


def leave_everything(folder):
    evidence = Evidence(folder)
    evidence.table("curve", {"step": range(1, 9), "loss": [8 / n for n in range(1, 9)]}, "Loss on the way.")
    evidence.figure("curve", Figure("The way", "curve", "line", "step", ("loss",), "step", "loss"), "Lower is better.")
    evidence.numbers("token_mass", {"yes": 0.123456, "documents": 256, "prompt": EVIL, "unknown": None}, "Mass on yes.")
    evidence.remark("asked 256 times")
    evidence.warn("The model never said yes.")
    evidence.charge("asking", {"build_seconds": 75.0, "peak_bytes": 2_000_000_000, "cuda_peak_bytes": 0})
    evidence.count_flops({"asking": 3.1e12})
    return evidence


def test_tables_numbers_figures_and_sentences_are_on_the_page(run_folder, tmp_path):
    evidence = leave_everything(tmp_path / "evidence")
    folder = run_folder(lambda record: record.update(evidence=evidence.contents()))
    path = write_report(folder)
    text = text_of(path)
    assert (folder / "plots" / "scorer_curve.png").exists()
    assert text.index("The way") < text.index("Lower is better.") < text.index("Scores along the training order")
    assert "Token mass yes 0.1235 documents 256 prompt" in text
    assert "Curve, 8 rows Loss on the way. All of it is in evidence/curve.parquet . step loss 1 8 2 4 3 2.667" in text
    assert EVIL not in path.read_text()
    assert "asking 3.1e+12 FLOPs 1 min 15 s 2 GB" in text
    record = read_json(folder / "record.json")
    assert [(caution.serious, caution.text) for caution in cautions(record, 0)] == [(True, "The model never said yes.")]
    assert [step.outcome[-1] for step in steps(record) if step.kind == "scorer"] == ["asked 256 times"]


def test_a_run_without_evidence_has_no_section_for_it(run_folder):
    assert "How the scores were made" not in write_report(run_folder()).read_text()


def test_a_stage_on_the_way_says_what_it_was_made_for(run_folder):
    def change(record):
        proxy = {**record["stages"][1], "role": "scores", "own": False}
        record["stages"].insert(0, proxy)

    text = text_of(write_report(run_folder(change)))
    assert text.count("train a model") == 2
    assert text.count("train a model on the way to scores") == 1
