"""Why the reference's row of exact Hessians is 0.5 % from ours: `torch.func.hessian` is wrong for layer norms.

Under vmap the derivative of a layer norm's weight gradient with respect to the norm's input is wrong (torch 2.13;
github.com/pytorch/functorch/issues/534), so that the matrix is not symmetric. With it the reference's row comes out to
the last digit; with two backward passes, ours.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy, layer_norm

from delt_exp.scorer.dvemb.value import value_documents
from tests.scorer.dvemb.test_sweep import GOLDEN, descending, golden_run, settings

Loss = Callable[[Tensor], Tensor]
HESSIANS: dict[str, Callable[[Loss, Tensor], Tensor]] = {
    "two backward passes": torch.autograd.functional.hessian,
    "vmap": lambda loss, theta_P: torch.func.hessian(loss)(theta_P).detach(),
}


def differences(loss: Loss, theta_P: Tensor) -> Tensor:
    """The slow, obvious Hessian: central differences of the gradient, parameter by parameter."""

    def gradient(at_P: Tensor) -> Tensor:
        return torch.autograd.functional.jacobian(loss, at_P)

    steps_PP = 1e-5 * torch.eye(len(theta_P), dtype=theta_P.dtype)
    return torch.stack([(gradient(theta_P + step) - gradient(theta_P - step)) / 2e-5 for step in steps_PP])


def normed(theta_P: Tensor) -> Tensor:
    """A loss after one layer norm of three inputs: 12 inputs, 4 weights, 4 biases."""
    return (layer_norm(theta_P[:12].view(3, 4), (4,), theta_P[12:16], theta_P[16:]) ** 2).sum()


THETA_P = torch.sin(1.7 * torch.arange(20, dtype=torch.float64))


def losses(model: Any, theta_P: Tensor, samples: list[dict[str, list[int]]]) -> Tensor:
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    parts = theta_P.split([shape.numel() for shape in shapes.values()])
    parameters = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
    outputs = (functional_call(model, parameters, torch.tensor([s["input_ids"]])).logits[0] for s in samples)
    return torch.stack([cross_entropy(o, torch.tensor(s["labels"])) for o, s in zip(outputs, samples, strict=True)])


def values_by_products(hessian: Callable[[Loss, Tensor], Tensor]) -> Tensor:
    """rate / 3 <gradient of the target, prod_later (I - rate H) gradient of the occurrence>, with whole matrices."""
    model, _, _, golden = golden_run()
    model = model.double().eval()
    model.set_attn_implementation("eager")  # the fused one has no second derivative
    theta_P = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    left_S: list[Tensor] = []  # rate / 3 times the gradients of an update, carried to the end so far
    for rate, batch in zip(golden["lrs"], golden["batches"], strict=True):
        samples = [golden["samples"][i] for i in batch]
        gradients_BP = torch.autograd.functional.jacobian(lambda at, s=samples: losses(model, at, s), theta_P)
        hessian_PP = hessian(lambda at, s=samples: losses(model, at, s).mean(), theta_P)
        left_S = [before_BP - rate * before_BP @ hessian_PP.T for before_BP in left_S] + [rate / 3 * gradients_BP]
        theta_P = theta_P - rate * gradients_BP.mean(0)
    target_GP = torch.autograd.functional.jacobian(lambda at: losses(model, at, golden["target"]), theta_P)
    return torch.cat(left_S) @ target_GP.T


def test_two_backward_passes_give_the_hessian_of_a_layer_norm() -> None:
    hessian_PP = HESSIANS["two backward passes"](normed, THETA_P)
    torch.testing.assert_close(hessian_PP, differences(normed, THETA_P), atol=1e-6, rtol=0)
    torch.testing.assert_close(hessian_PP, hessian_PP.T)


@pytest.mark.slow
@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the folder of golden values is not beside the checkout")
def test_the_values_are_products_with_hessians_by_two_backward_passes() -> None:
    model, updates, target, golden = golden_run()
    values_NG = value_documents(model, updates, target, descending(golden["lrs"]), settings("hessian")).value_NG
    expected_NG = values_by_products(HESSIANS["two backward passes"])
    assert (values_NG - expected_NG).abs().max() <= 1e-5 * expected_NG.abs().max()


@pytest.mark.slow
@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the folder of golden values is not beside the checkout")
def test_the_row_of_the_reference_is_that_of_the_hessian_under_vmap() -> None:
    if torch.allclose(HESSIANS["vmap"](normed, THETA_P), differences(normed, THETA_P), atol=1e-6):
        pytest.skip("torch.func.hessian is right for layer norms in this version")
    expected_NG = torch.tensor(golden_run()[-1]["values"]["unrolled_exact_hessian"], dtype=torch.float64)
    found_NG = values_by_products(HESSIANS["vmap"])
    assert (found_NG - expected_NG).abs().max() <= 1e-9 * expected_NG.abs().max()
