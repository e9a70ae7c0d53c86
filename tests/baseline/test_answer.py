"""Answers are the paired differences that one can work out by hand."""

import math
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import t

from delt_exp.baseline.answer import answers
from delt_exp.eval_dataset.base import Evaluation, Measure

LOSS = Measure("words", "loss", 0.0, 0.1, 4, "nats/token", "lower")
ACCURACY = Measure("quiz", "acc", 0.0, None, 100, "accuracy", "higher")


def losses(folder, name, sum_nats, num_tokens=(1, 1, 1, 1), ids=(1, 2, 3, 4)):
    """Return an evaluation with the loss of each document."""
    path = folder / f"{name}.parquet"
    pq.write_table(
        pa.table({"id": pa.array(ids, pa.uint64()), "sum_nats": list(map(float, sum_nats)), "num_tokens": num_tokens}),
        path,
    )
    mean = sum(sum_nats) / sum(num_tokens)
    forms = [replace(LOSS, value=mean), replace(LOSS, metric="perplexity", value=math.exp(mean))]
    return Evaluation(forms, folder, path)


def accuracy(value, stderr):
    return Evaluation([replace(ACCURACY, value=value, stderr=stderr)], None, None)


def answer(run, baseline):
    (found,) = answers({"words": run}, {"words": baseline})
    return found


def test_a_difference_worked_out_by_hand(tmp_path):
    # Documents of one token each: the differences are -1, -2, -3, -2; mean -2, variance 2/3, four documents.
    run, baseline = losses(tmp_path, "run", (1, 1, 1, 1)), losses(tmp_path, "baseline", (2, 3, 4, 3))
    found = answer(run, baseline)
    assert (found.run, found.baseline, found.difference) == (1, 3, -2)
    # The residuals 1, 0, -1, 0 are two effective documents: one degree of freedom.
    half = t.ppf(0.975, 1) * math.sqrt(2 / 3 / 4)
    assert (found.low, found.high) == (pytest.approx(-2 - half), pytest.approx(-2 + half))
    assert found.paired
    assert found.verdict == "not distinguishable"  # with one degree of freedom


def test_noise_that_both_share_is_no_noise(tmp_path):
    run = losses(tmp_path, "run", (1.0, 9.0, 5.0, 3.1))
    baseline = losses(tmp_path, "baseline", (2.0, 10.1, 6.0, 4.0))
    assert answer(run, baseline).verdict == "better"
    assert answer(baseline, run).verdict == "worse"


def test_documents_count_by_their_tokens(tmp_path):
    run = losses(tmp_path, "run", (10, 1, 1, 1), (10, 1, 1, 1))
    baseline = losses(tmp_path, "baseline", (20, 1, 1, 1), (10, 1, 1, 1))
    assert answer(run, baseline).difference == pytest.approx(-10 / 13)


def test_of_a_benchmark_each_task_has_an_answer_as_if_of_other_questions():
    found = answer(accuracy(0.6, 0.03), accuracy(0.5, 0.04))
    assert found.difference == pytest.approx(0.1)
    assert found.high - found.difference == pytest.approx(1.959964 * 0.05)
    assert not found.paired
    assert found.verdict == "better"


def test_without_any_error_there_is_no_interval_and_no_claim():
    found = answer(accuracy(0.6, None), accuracy(0.5, None))
    assert (found.low, found.high, found.verdict) == (None, None, "not distinguishable")


def test_one_document_has_no_interval(tmp_path):
    one, other = (losses(tmp_path, name, (value,), (1,), (1,)) for name, value in (("run", 1), ("baseline", 3)))
    found = answer(one, other)
    assert (found.difference, found.low, found.verdict) == (-2, None, "not distinguishable")


def test_several_sets_share_the_chance_of_a_false_claim():
    weak = accuracy(0.6, 0.036), accuracy(0.5, 0.036)  # p = 0.0495
    assert answer(*weak).verdict == "better"
    runs, baselines = (dict.fromkeys(("a", "b"), one) for one in weak)
    assert {one.verdict for one in answers(runs, baselines)} == {"not distinguishable"}
