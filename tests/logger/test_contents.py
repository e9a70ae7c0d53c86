"""What is known at the end of a run, by the names under which loggers send it."""

from copy import deepcopy

from delt_exp.logger.contents import scalars
from tests.logger.run_folder import RECORD


def test_results_alignment_and_cost_have_names():
    assert scalars(RECORD) == {
        "eval/prose/loss": 3.5,
        "eval/prose/loss_stderr": 0.25,
        "eval/quiz/acc": 0.75,
        "alignment/prose/ncd": 0.625,
        "cost/training_seconds": 4.0,
        "cost/scoring_seconds": 2.0 + 7.0,
    }


def test_a_scoring_whose_cost_was_not_recorded_has_none():
    record = deepcopy(RECORD)
    del record["stages"][1]["cost"]["used"]
    assert "cost/scoring_seconds" not in scalars(record)
