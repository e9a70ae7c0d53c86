"""What a run says of its data scorer."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from delt_exp.data_scorer.evidence import show_fit
from delt_exp.files import read_json, write_json
from delt_exp.report.cautions import cautions
from delt_exp.report.flow import steps
from delt_exp.report.page import write_report
from delt_exp.store.evidence import Evidence

pytestmark = pytest.mark.slow

LEARNT = {
    "how": "out of fold", "documents": 256, "spearman": 0.543, "low": 0.381, "high": 0.672, "pearson": 0.5,
    "spread_ratio": 0.4321, "learnt": True,
}  # fmt: skip
NOTHING = LEARNT | {"spearman": 0.05, "low": -0.12, "high": 0.22, "spread_ratio": 0.01, "learnt": False}


@pytest.fixture
def run_with_fit(run_folder, tmp_path):
    def make(validation, splits=("out of fold",)):
        rng, fit, evidence = np.random.default_rng(0), tmp_path / "fit", Evidence(tmp_path / "evidence")
        fit.mkdir()
        columns = {name: rng.normal(size=12) for name in ("annotated", "predicted")}
        pq.write_table(pa.table(columns | {"split": np.resize(splits, 12)}), fit / "fit.parquet")
        write_json(fit / "fit.json", {"validation": validation, "penalty": 0.25, "reading": {"layers": "all"}})
        show_fit(fit, evidence, "LQS")
        return run_folder(lambda record: record.update(evidence=evidence.contents()))

    return make


def test_a_data_scorer_that_learned_nothing_is_a_serious_caution_and_said_on_the_terminal(run_with_fit, capsys):
    folder = run_with_fit(NOTHING)
    assert "has not been shown to predict the annotations" in capsys.readouterr().err
    [caution] = cautions(read_json(folder / "record.json"), not_reached=0)
    assert caution.serious
    assert "(Spearman 0.05 [-0.12, 0.22] on 256 documents out of fold)" in caution.text
    text = write_report(folder).read_text()
    assert text.index("Before you trust") < text.index("no better than random") < text.index("What was done")


def test_one_that_learned_is_none_and_its_interval_and_spread_are_said(run_with_fit):
    record = read_json(run_with_fit(LEARNT) / "record.json")
    assert cautions(record, not_reached=0) == []
    [scorer] = [step for step in steps(record) if step.kind == "scorer"]
    words = (
        "by a data scorer: Spearman 0.54 [0.38, 0.67] on 256 documents out of fold; predictions spread 0.43 times as"
    )
    assert any(line.startswith(words) for line in scorer.outcome)


@pytest.mark.parametrize("splits", [("out of fold",), ("train", "choice", "validation")])
def test_the_picture_of_the_fit_is_on_the_page_with_what_its_sizes_are_good_for(run_with_fit, splits):
    folder = run_with_fit(LEARNT, splits)
    text = write_report(folder).read_text()
    assert (folder / "plots" / "scorer_fit.png").exists()
    assert "trust their ranks" in text


def test_one_prediction_for_all_documents_still_has_a_page(run_with_fit):
    nothing_known = NOTHING | {"spearman": None, "low": -1.0, "high": 1.0, "pearson": None, "spread_ratio": 0.0}
    assert "the same prediction for all 256 documents" in write_report(run_with_fit(nothing_known)).read_text()
