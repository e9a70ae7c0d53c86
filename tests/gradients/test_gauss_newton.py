"""Products with the Gauss-Newton matrix against that matrix, and properties of it."""

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.func import functional_call

from delt_exp.gradients.flat import trainable_parameters, unflatten
from delt_exp.gradients.gauss_newton import add_gauss_newton
from delt_exp.gradients.products import hvp
from delt_exp.model.objective import CrossEntropy
from tests.gradients.tiny import FAMILIES, draw_batch, draw_direction, lora_model, tiny_model


def product(model: torch.nn.Module, batch: dict[str, Tensor], direction: Tensor, weighting: int | Tensor) -> Tensor:
    total = torch.zeros_like(direction)
    add_gauss_newton(model, batch, direction, weighting, total)
    return total


def materialised(model: torch.nn.Module, batch: dict[str, Tensor], weight_B: Tensor) -> Tensor:
    """sum over tokens of weight J^T (diag p - p p^T) J, from the Jacobian of the logits of each sample."""
    parameters = trainable_parameters(model.eval())
    flat = torch.cat([p.detach().reshape(-1) for p in parameters.values()])
    matrix = torch.zeros(len(flat), len(flat), dtype=torch.float64)
    for n, weight in enumerate(weight_B.tolist()):
        ids, labels = batch["input_ids"][n : n + 1], batch["labels"][n]

        def logits(theta: Tensor, ids: Tensor = ids) -> Tensor:
            pieces = dict(zip(parameters, unflatten(theta, list(parameters.values())), strict=True))
            return functional_call(model, pieces, (), {"input_ids": ids, "use_cache": False}).logits[0]

        jacobian_TVP, logits_TV = jacobian(logits, flat), logits(flat).detach()
        positions = torch.nonzero(labels != -100)[:, 0].tolist()
        for t in positions:
            p = logits_TV[t].softmax(0)
            hessian = torch.diag(p) - p[:, None] * p
            matrix += weight / len(positions) * jacobian_TVP[t].T @ hessian @ jacobian_TVP[t]
    return matrix


@pytest.mark.slow
def test_the_product_is_that_of_the_materialised_matrix() -> None:
    model, batch = tiny_model("gpt2"), draw_batch([5, 3, 0, 4])
    for p in list(model.parameters())[:4]:  # tables and norms of thousands of columns stay out of the matrix
        p.requires_grad_(False)
    weight_B = torch.tensor([0.1, 0.5, 0.3, 0.2], dtype=torch.float64)
    direction = draw_direction(model)
    expected = materialised(model, batch, weight_B) @ direction
    assert torch.allclose(product(model, batch, direction, weight_B), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_symmetric_and_never_negative_in_every_family(family: str) -> None:
    model, batch = tiny_model(family), draw_batch([5, 3, 0, 7])
    one, other = draw_direction(model, 0), draw_direction(model, 1)
    left, right = product(model, batch, one, 4), product(model, batch, other, 4)
    assert other @ left == pytest.approx((one @ right).item(), rel=1e-4)
    assert one @ left > 0
    assert other @ right > 0


def test_a_divisor_is_that_many_equal_weights_and_micro_batches_add_up() -> None:
    model, batch = lora_model(), draw_batch([5, 3, 6])
    direction = draw_direction(model)
    whole = product(model, batch, direction, 3)
    assert torch.allclose(product(model, batch, direction, torch.full((3,), 1 / 3)), whole)
    total = torch.zeros_like(direction)
    for n in range(3):
        add_gauss_newton(model, {key: value[n : n + 1] for key, value in batch.items()}, direction, 3, total)
    assert torch.allclose(total, whole, rtol=1e-6, atol=1e-10)


def test_it_is_the_hessian_in_the_last_layer_of_which_logits_are_linear() -> None:
    model, batch = tiny_model("llama"), draw_batch([5, 3])
    for name, p in model.named_parameters():
        p.requires_grad_(name == "lm_head.weight")
    direction = draw_direction(model)
    expected = hvp(model, batch, CrossEntropy(), direction, 2)
    assert torch.allclose(product(model, batch, direction, 2), expected, rtol=1e-6, atol=1e-10)
