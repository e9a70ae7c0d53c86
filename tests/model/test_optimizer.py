"""Single updates by hand."""

import pytest
import torch
from torch import nn

from delt_exp.errors import ConfigError
from delt_exp.files import read_json
from delt_exp.model.optimizer import SGD, AdamW, clip_gradients
from tests.helpers import make_pool, tiny_recipe, words
from tests.trainer.test_train import job_of, trained


def one_layer():
    """A weight of 2 and a bias of 2, each with the gradient 3; a frozen parameter."""
    layer = nn.Linear(1, 1)
    layer.frozen = nn.Parameter(torch.tensor([2.0]), requires_grad=False)
    for parameter in (layer.weight, layer.bias):
        nn.init.constant_(parameter, 2)
        parameter.grad = torch.full_like(parameter, 3)
    return layer


def test_plain_descent_decays_the_matrix_alone():
    layer = one_layer()
    SGD(lr=0.1, momentum=0.0, weight_decay=0.5).make(layer).step()
    assert layer.weight.item() == pytest.approx(2 - 0.1 * (3 + 0.5 * 2))
    assert layer.bias.item() == pytest.approx(2 - 0.1 * 3)
    assert layer.frozen.item() == 2


def test_momentum_adds_up():
    layer = one_layer()
    optimizer = SGD(lr=0.1, momentum=0.5, weight_decay=0.0).make(layer)
    optimizer.step()
    optimizer.step()
    assert layer.bias.item() == pytest.approx(2 - 0.1 * 3 - 0.1 * (0.5 * 3 + 3))


def test_the_first_adam_step_is_the_learning_rate_after_the_decay():
    layer = one_layer()
    AdamW(lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.5).make(layer).step()
    assert layer.weight.item() == pytest.approx(2 * (1 - 0.1 * 0.5) - 0.1)
    assert layer.bias.item() == pytest.approx(2 - 0.1)


@pytest.mark.parametrize(("limit", "expected"), [(None, 3.0), (18**0.5 / 2, 1.5), (10.0, 3.0)])
def test_gradients_are_clipped_together(limit, expected):
    layer = one_layer()
    norm = clip_gradients([layer.weight, layer.bias], limit)
    assert float(norm) == pytest.approx(18**0.5)
    assert [layer.weight.grad.item(), layer.bias.grad.item()] == pytest.approx([expected, expected], rel=1e-5)


def test_a_value_that_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match=r"SGD.momentum=1.0 is not allowed"):
        SGD(lr=0.1, momentum=1.0, weight_decay=0.0)


def test_training_with_plain_descent_is_verified(tmp_path):
    recipe = tiny_recipe(optimizer=SGD(lr=0.1, momentum=0.0, weight_decay=0.0))
    folder = trained(tmp_path, job_of(make_pool(tmp_path, words(60)), recipe=recipe))
    assert read_json(folder / "result.json")["order_mismatch"] == ""
