"""`${unless:OTHER,VALUE}`: of two settings that exclude each other, one given is enough."""

import pytest

from delt_exp.config.build import CONF
from delt_exp.config.compose import composed
from delt_exp.config.run_name import run_id


@pytest.mark.parametrize(
    ("given", "epochs", "max_tokens"),
    [
        ([], 4, None),
        (["training.epochs=3"], 3, None),
        (["training.max_tokens=5_000"], None, 5_000),
        (["training.max_tokens=5_000", "training.epochs=2"], 2, 5_000),
    ],
)
def test_a_budget_of_tokens_takes_the_place_of_the_passes_that_are_the_default(given, epochs, max_tokens):
    training = composed(CONF, given).training
    assert (training.epochs, training.max_tokens) == (epochs, max_tokens)


@pytest.mark.parametrize(
    ("given", "epochs", "max_tokens"),
    [([], 4, None), (["training.max_tokens=5_000"], None, 5_000), (["training.candidate_epochs=2"], 2, None)],
)
def test_the_run_that_data_values_are_of_has_the_budget_of_the_run(given, epochs, max_tokens):
    """All candidates are valued, so that passes over them are its epochs."""
    training = composed(CONF, ["scorer=dvemb", *given]).scorer.training
    assert (training.epochs, training.max_tokens) == (epochs, max_tokens)


def test_a_budget_alone_is_the_run_that_null_epochs_beside_it_make():
    ids = {run_id(composed(CONF, [*more, "training.max_tokens=5_000"])) for more in ([], ["training.epochs=null"])}
    assert len(ids) == 1
