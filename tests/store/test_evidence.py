"""Evidence: what a stage leaves to be seen is there by its name, whole, and replaced when it is handed over again."""

import math
import time

import numpy as np
import pyarrow as pa
import pytest

from delt_exp.errors import DataError, DivergedError
from delt_exp.files import read_json
from delt_exp.store.evidence import Evidence, Figure, Series

CURVE = {"step": [1, 2, 3], "loss": [3.0, 2.0, 1.5], "part": ["a", "b", "a"]}


def figure(**changes):
    plain = {"title": "Loss", "table": "curve", "kind": "line", "x": "step", "y": ("loss",)}
    return Figure(**plain | {"x_label": "step", "y_label": "loss [nats]"} | changes)


@pytest.fixture
def evidence(tmp_path):
    return Evidence(tmp_path / "evidence")


def test_a_folder_that_nobody_wrote_to_has_no_evidence(evidence):
    nothing = {"tables": {}, "numbers": {}, "figures": {}, "phases": {}, "remarks": [], "warnings": [], "flops": 0.0}
    assert evidence.contents() == nothing
    assert evidence.read_table("curve") is None
    assert not evidence.folder.exists()


@pytest.mark.parametrize("columns", [CURVE, pa.table(CURVE)])
def test_a_table_is_read_back_by_its_name_with_caption_and_size(evidence, columns):
    evidence.table("curve", columns, "Loss of each step.")
    assert evidence.read_table("curve").to_pydict() == CURVE
    assert evidence.contents()["tables"] == {
        "curve": {"caption": "Loss of each step.", "rows": 3, "columns": ["step", "loss", "part"]}
    }


def test_what_is_handed_over_again_replaces_what_had_its_name(evidence):
    for value in (1.0, 2.0):
        evidence.numbers("mass", {"yes": value, "prompt": "short", "unknown": None}, "Probability of yes.")
    expected = {"caption": "Probability of yes.", "values": {"yes": 2.0, "prompt": "short", "unknown": None}}
    assert evidence.contents()["numbers"] == {"mass": expected}


def test_a_figure_is_plain_json_and_comes_back_the_same(evidence):
    evidence.table("curve", CURVE, "")
    drawn = figure(series_column="part", series=(Series("a", "first"), Series("b", "second", "faint")))
    evidence.figure("loss", drawn, "Lower is better.")
    stored = read_json(evidence.folder / "evidence.json")["figures"]["loss"]
    assert stored.pop("caption") == "Lower is better."
    assert Figure.of(stored) == drawn


@pytest.mark.parametrize("changes", [{"table": "nowhere"}, {"y": ("loss", "gain")}, {"series_column": "kind"}])
def test_a_figure_without_its_columns_is_refused(evidence, changes):
    evidence.table("curve", CURVE, "")
    with pytest.raises(DataError, match="hand the table over first"):
        evidence.figure("loss", figure(**changes), "")


@pytest.mark.parametrize("name", ["../curve", "Curve", "", "a b"])
def test_a_name_that_is_no_file_name_is_refused(evidence, name):
    with pytest.raises(DataError, match="lower-case letters"):
        evidence.numbers(name, {"x": 1}, "")
    with pytest.raises(DataError, match="lower-case letters"):
        evidence.table(name, CURVE, "")


def test_a_number_that_is_not_finite_is_refused_and_what_was_there_stays(evidence):
    evidence.numbers("mass", {"yes": 1.0}, "")
    with pytest.raises(DivergedError, match=r"mass\.values\.yes"):
        evidence.numbers("mass", {"yes": float("nan")}, "")
    assert evidence.contents()["numbers"]["mass"]["values"] == {"yes": 1.0}


def test_a_warning_goes_to_the_terminal_and_is_kept_once(evidence, capsys):
    for _ in range(2):  # a scorer that continues after a kill warns again
        evidence.warn("Nothing was learnt.")
        evidence.remark("by 3 documents")
    assert capsys.readouterr().err.count("warning: Nothing was learnt.") == 2
    assert (evidence.contents()["warnings"], evidence.contents()["remarks"]) == (
        ["Nothing was learnt."],
        ["by 3 documents"],
    )


def test_a_phase_adds_up_and_one_that_is_charged_costs_what_its_stage_did(evidence):
    for _ in range(2):
        with evidence.phase("warm start"):
            time.sleep(0.02)
            np.ones(10)
    evidence.charge("annotation", {"build_seconds": 7.0, "peak_bytes": 5, "cuda_peak_bytes": 0, "used": {}})
    evidence.count_flops({"warm start": 6.0, "inference": 2.0})
    phases = evidence.contents()["phases"]
    assert 0.04 <= phases["warm start"]["seconds"] < 5
    assert phases["warm start"]["peak_bytes"] > 0
    assert phases["annotation"] == {"seconds": 7.0, "peak_bytes": 5, "cuda_peak_bytes": 0, "flops": 0.0}
    assert (phases["warm start"]["flops"], evidence.contents()["flops"]) == (6.0, 8.0)


def test_evidence_of_another_folder_is_added_to_what_is_there(evidence, tmp_path):
    evidence.table("curve", CURVE, "Loss.")
    evidence.warn("first")
    evidence.charge("scoring", {"build_seconds": 1.0, "peak_bytes": 2, "cuda_peak_bytes": 0})
    evidence.count_flops({"scoring": 5.0})
    other = Evidence(tmp_path / "other")
    other.table("weights", CURVE, "Weights.")
    other.figure("weights", figure(table="weights"), "Higher is more.")
    other.warn("second")
    evidence.add(other)
    found = evidence.contents()
    assert (set(found["tables"]), set(found["figures"]), found["flops"]) == ({"curve", "weights"}, {"weights"}, 5.0)
    assert found["warnings"] == ["first", "second"]
    assert evidence.read_table("weights").to_pydict() == CURVE
    before = evidence.contents()
    evidence.add(Evidence(tmp_path / "nobody"))
    assert evidence.contents() == before


@pytest.mark.parametrize("values", [np.array([1.0, np.nan]), [1.0, math.nan], [np.float64(1), None]], ids=str)
def test_an_unknown_number_is_no_number(evidence, values):
    evidence.table("found", {"x": values}, "One is unknown.")
    assert evidence.read_table("found").to_pydict() == {"x": [1.0, None]}
