"""What is known at the end of a run, by the names under which loggers send it."""

from copy import deepcopy

import pytest

from delt_exp.errors import DataError
from delt_exp.logger.contents import scalars
from tests.logger.run_folder import RECORD


def test_results_alignment_cost_and_evidence_have_names():
    assert scalars(RECORD) == {
        "eval/prose/loss": 3.5,
        "eval/prose/loss_stderr": 0.25,
        "eval/quiz/acc": 0.75,
        "alignment/prose/ncd": 0.625,
        "cost/training_seconds": 4.0,
        "cost/scoring_seconds": 2.0 + 7.0,
        "evidence/fit/spearman": 0.5,
    }


def test_the_training_seconds_are_those_of_the_runs_own_model_wherever_it_stands_in_the_list():
    record = deepcopy(RECORD)
    record["stages"].reverse()
    assert scalars(record) == scalars(RECORD)


def test_a_record_without_roles_is_refused_in_one_sentence_with_its_cure():
    record = deepcopy(RECORD)
    for stage in record["stages"]:
        del stage["role"], stage["own"]
    with pytest.raises(DataError, match=r"does not say which 'model' is its own: another version .* Repeat"):
        scalars(record)


def test_a_scoring_whose_cost_was_not_recorded_has_none():
    record = deepcopy(RECORD)
    del record["stages"][1]["cost"]["used"]
    assert "cost/scoring_seconds" not in scalars(record)
