"""Products and weighted sums of the gradients of single tokens against one backward pass for each token."""

import pytest
import torch
from torch import Tensor

from delt_exp.gradients.flat import flatten, trainable_parameters
from delt_exp.gradients.tokens import add_token_gradient, token_products
from tests.gradients.tiny import FAMILIES, draw_batch, draw_direction, lora_model, tiny_model


def token_gradients(model: torch.nn.Module, batch: dict[str, Tensor]) -> dict[tuple[int, int], Tensor]:
    """The gradient of the loss at every position with a label."""
    parameters, labels_BT = list(trainable_parameters(model.eval()).values()), batch["labels"]
    inputs = {key: value for key, value in batch.items() if key != "labels"}
    log_p_BTV = model(**inputs, use_cache=False).logits.log_softmax(-1)
    found = {}
    for b, t in torch.nonzero(labels_BT != -100).tolist():
        loss = -log_p_BTV[b, t, labels_BT[b, t]]
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        found[b, t] = flatten(
            torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True)
        )
    return found


@pytest.mark.parametrize("family", [*FAMILIES, "lora"])
def test_products_and_sums_are_those_of_one_backward_pass_a_token(family: str) -> None:
    model, batch = lora_model() if family == "lora" else tiny_model(family), draw_batch([5, 3, 0, 7])
    direction, gradients = draw_direction(model), token_gradients(model, batch)
    products_BT = torch.zeros(batch["labels"].shape, dtype=torch.float64)
    weight_BT = torch.rand(batch["labels"].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = torch.zeros_like(direction)
    for place, gradient in gradients.items():
        products_BT[place] = gradient @ direction
        expected += weight_BT[place] * gradient
    # Norms and rotary tables of the families but GPT-2 are float32 whatever the model's type.
    torch.testing.assert_close(token_products(model, batch, direction), products_BT, rtol=1e-4, atol=1e-5)
    total = torch.zeros_like(direction)
    add_token_gradient(model, batch, weight_BT, total)
    torch.testing.assert_close(total, expected, rtol=1e-4, atol=1e-5)
    assert len(gradients) > 8


def test_a_packed_document_that_sees_itself_alone_has_the_products_it_has_alone() -> None:
    model, generator = tiny_model("llama"), torch.Generator().manual_seed(0)
    ids_NT = torch.randint(31, (2, 5), generator=generator)
    direction = draw_direction(model)
    alone_NT = token_products(model, {"input_ids": ids_NT[:, :-1], "labels": ids_NT[:, 1:]}, direction)
    packed = {"input_ids": ids_NT[:, :-1].reshape(1, -1), "labels": ids_NT[:, 1:].reshape(1, -1)}
    packed["position_ids"] = torch.arange(4).repeat(2)[None]
    torch.testing.assert_close(token_products(model, packed, direction).view(2, 4), alone_NT, rtol=1e-4, atol=1e-5)


def test_bfloat16_agrees_roughly() -> None:
    model, batch = tiny_model("llama", dtype=torch.float32), draw_batch([7, 7, 7])
    direction = draw_direction(model)
    exact, rough = (token_products(model, batch, direction, dtype) for dtype in (None, torch.bfloat16))
    assert not torch.equal(exact, rough)
    assert (exact - rough).norm() < 0.05 * exact.norm()
