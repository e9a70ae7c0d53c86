"""What averaged weights reached stands beside what the last ones did, under a name that says so."""

from delt_exp.logger.contents import eval_scalars
from delt_exp.report.facts import all_results


def row(value):
    return {"dataset": "news", "metric": "loss", "value": value, "stderr": 0.1}


def test_results_of_averaged_weights_come_after_the_others_under_their_name():
    record = {"results": [row(3.0)], "averaged": {"results": [row(2.9)]}}
    assert [(one["dataset"], one["value"]) for one in all_results(record)] == [
        ("news", 3.0), ("news, averaged weights", 2.9),
    ]  # fmt: skip
    assert all_results({"results": [row(3.0)]}) == [row(3.0)]


def test_loggers_get_both():
    found = eval_scalars({"results": [row(3.0)], "averaged": {"results": [row(2.9)]}})
    assert (found["eval/news/loss"], found["averaged/news/loss"]) == (3.0, 2.9)
    assert "averaged/news/loss" not in eval_scalars({"results": [row(3.0)]})
