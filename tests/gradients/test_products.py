"""Batch gradients and Hessian-vector products against plain autograd and a dense Hessian."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from delt_exp.errors import ConfigError
from delt_exp.gradients.flat import flatten, trainable_parameters, unflatten
from delt_exp.gradients.loss import sample_losses
from delt_exp.gradients.products import add_gradient, add_hvp, hvp
from delt_exp.model.objective import CrossEntropy
from tests.gradients.tiny import FAMILIES, draw_batch, draw_direction, tiny_model


def plain_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Mean over samples of the mean over their labels, by the book."""
    logits_BTV = model(input_ids=batch["input_ids"]).logits
    pairs = zip(logits_BTV, batch["labels"], strict=True)
    return torch.stack([F.cross_entropy(z, y) if (y >= 0).any() else z.sum() * 0 for z, y in pairs]).mean()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_hvp_equals_autograd_twice(family: str, attention: str) -> None:
    model, batch = tiny_model(family).eval(), draw_batch([7, 4, 0, 1])
    model.set_attn_implementation(attention)
    direction, parameters = draw_direction(model), list(model.parameters())
    with sdpa_kernel(SDPBackend.MATH):
        gradients = torch.autograd.grad(plain_loss(model, batch), parameters, create_graph=True)
        expected = flatten(torch.autograd.grad(gradients, parameters, unflatten(direction, parameters)))
    for micro_batch_samples in (1, 3, 4):
        assert torch.allclose(
            hvp(model, batch, CrossEntropy(), direction, micro_batch_samples), expected, rtol=1e-8, atol=1e-7
        )


def test_hvp_equals_the_dense_hessian_of_a_small_network() -> None:
    model, batch = tiny_model("llama").eval(), draw_batch([5, 3])
    model.set_attn_implementation("eager")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in ("model.norm.weight", "model.layers.1.input_layernorm.weight"))
    names, weights = zip(*trainable_parameters(model).items(), strict=True)

    def loss(*values: Tensor) -> Tensor:
        call = torch.func.functional_call(model, dict(zip(names, values, strict=True)), (batch["input_ids"],))
        return torch.stack([F.cross_entropy(z, y) for z, y in zip(call.logits, batch["labels"], strict=True)]).mean()

    blocks = torch.autograd.functional.hessian(loss, weights)
    dense = torch.cat([torch.cat(row, dim=1) for row in blocks])
    direction = draw_direction(model)
    assert torch.allclose(hvp(model, batch, CrossEntropy(), direction, 2), dense @ direction, rtol=1e-8, atol=1e-7)


def test_gradients_add_up_over_micro_batches_and_leave_grad_alone() -> None:
    model, batch = tiny_model("llama"), draw_batch([7, 4, 0, 1])
    parameters = list(model.parameters())
    expected = flatten(torch.autograd.grad(plain_loss(model.eval(), batch), parameters))
    mark = parameters[0].grad = torch.ones_like(parameters[0])
    total = torch.zeros_like(expected)
    loss = sum(
        add_gradient(model, {key: value[rows] for key, value in batch.items()}, CrossEntropy(), 4, total)
        for rows in (slice(0, 3), slice(3, 4))
    )
    assert loss == pytest.approx(plain_loss(model, batch).item(), rel=1e-12)
    assert torch.allclose(total, expected, rtol=1e-9, atol=1e-12)
    assert parameters[0].grad is mark
    assert bool((mark == 1).all())


def test_the_loss_weighs_samples_equally_whatever_their_length() -> None:
    # Zero logits: every label costs log 2, so a sample costs log 2 however many labels it has, or 0 without any.
    class Zeros(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, input_ids: Tensor, use_cache: bool) -> "Zeros":
            self.logits = torch.zeros(*input_ids.shape, 2)
            return self

    labels = torch.tensor([[0, 1, 1], [1, -100, -100], [-100, -100, -100]])
    losses_B = sample_losses(Zeros(), {"input_ids": labels.clamp(min=0), "labels": labels}, CrossEntropy())
    assert losses_B.tolist() == pytest.approx([0.6931472, 0.6931472, 0.0], rel=1e-6)


def test_the_token_loss_can_be_differentiated_twice_also_by_its_weights() -> None:
    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.logits = nn.Parameter(torch.randn(2, 3, 4, dtype=torch.float64))

        def forward(self, input_ids: Tensor, use_cache: bool) -> "Logits":
            return self

    torch.manual_seed(0)
    model, labels = Logits(), torch.tensor([[0, 1, -100], [3, 3, 2]])

    def weighted(weights_B: Tensor, logits: Tensor) -> Tensor:
        losses_B = sample_losses(model, {"input_ids": labels, "labels": labels}, CrossEntropy())
        return (losses_B * weights_B).sum() + 0 * logits.sum()

    weights_B = torch.tensor([0.3, 0.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(weighted, (weights_B, model.logits))


def test_attention_without_a_second_derivative_is_refused() -> None:
    model = tiny_model("llama")
    model.config._attn_implementation = "flash_attention_2"
    direction = draw_direction(model)
    with pytest.raises(ConfigError, match=r"'flash_attention_2'.*set_attn_implementation"):
        add_hvp(model, draw_batch([3]), CrossEntropy(), direction, 1, torch.zeros_like(direction))
