"""Samples of several rows: pairs with signs, documents in windows."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from delt_exp.errors import ConfigError
from delt_exp.gradients.flat import flatten
from delt_exp.gradients.kernel import per_sample_terms
from delt_exp.gradients.signed_rows import SignedRows
from delt_exp.model.objective import CrossEntropy
from tests.gradients.test_directions import MODELS, draw_directions, make
from tests.gradients.test_fallback import WIDTH, Net, Twice
from tests.gradients.tiny import TokenSums, draw_batch, draw_direction, gradients_by_name, tiny_model

SLOW_PAIRS = SignedRows(TokenSums(), 2)


def with_weights(batch: dict[str, Tensor], weights: list[float]) -> dict[str, Tensor]:
    return {**batch, "row_weights": torch.tensor(weights, dtype=torch.float64)}


def terms(model: nn.Module, batch: dict[str, Tensor], direction: Tensor, rows: int = 2) -> tuple[Tensor, Tensor]:
    return per_sample_terms(model, batch, SignedRows(CrossEntropy(), rows), direction)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("lengths", [[9, 4, 6, 0], [4, 4, 3, 2], [31, 20, 25, 30]])
def test_signed_rows_equal_one_sample_at_a_time(name: str, lengths: list[int]) -> None:
    model, batch = make(name), with_weights(draw_batch(lengths), [1, -1, 0.5, 2])
    directions_SP = draw_directions(model, 3)
    dot_BS, norm_B = terms(model, batch, directions_SP)
    flat = torch.stack([flatten(g.values()) for g in gradients_by_name(model, batch, 2, SLOW_PAIRS)])
    scale_BS = flat.norm(dim=1)[:, None] * directions_SP.norm(dim=1)
    assert ((dot_BS - flat @ directions_SP.T).abs() <= 1e-9 * scale_BS).all()  # some families have float32 inside
    assert torch.allclose(norm_B, flat.norm(dim=1), rtol=1e-8)


@pytest.mark.parametrize("name", ["llama tied, padding row", "gpt2", "lora"])
def test_the_norm_of_a_pair_has_its_cross_term(name: str) -> None:
    """|a - b|^2 = |a|^2 + |b|^2 - 2 <a, b>."""
    model, rows = make(name), draw_batch([9, 6])
    each_row = SignedRows(TokenSums(), 1)
    a, b = (flatten(g.values()) for g in gradients_by_name(model, with_weights(rows, [1, 1]), 2, each_row))
    _, norms_R = terms(model, with_weights(rows, [1, 1]), draw_direction(model), rows=1)
    _, norm_B = terms(model, with_weights(rows, [1, -1]), draw_direction(model))
    assert norm_B.square().item() == pytest.approx((norms_R.square().sum() - 2 * a @ b).item(), rel=1e-9)


def test_exchanged_roles_negate_the_products_and_keep_the_norm() -> None:
    model, batch = make("llama"), draw_batch([9, 6])
    exchanged = {key: value.flip(0) for key, value in batch.items()}
    direction = draw_direction(model)
    found = [terms(model, with_weights(rows, [1, -1]), direction) for rows in (batch, exchanged)]
    assert found[0][0].item() == pytest.approx(-found[1][0].item(), rel=1e-9)
    assert found[0][1].item() == pytest.approx(found[1][1].item(), rel=1e-9)


def test_identical_rows_of_opposite_signs_have_no_gradient() -> None:
    model, batch = make("llama tied, padding row"), draw_batch([7])
    pair = {key: value.repeat(2, 1) for key, value in batch.items()}
    dot_B, norm_B = terms(model, with_weights(pair, [1, -1]), draw_direction(model))
    assert dot_B.item() == pytest.approx(0, abs=1e-12)
    assert norm_B.item() == pytest.approx(0, abs=1e-6)


def test_windows_of_a_document_are_one_sample_and_a_row_without_weight_only_fills_up() -> None:
    model, batch = make("gpt2"), draw_batch([8, 8, 3, 8])
    weights = [1 / 19, 1 / 19, 1 / 19, 0]
    dot_B, norm_B = terms(model, with_weights(batch, weights), draw_direction(model), rows=4)
    three = {key: value[:3] for key, value in batch.items()}
    expected = terms(model, with_weights(three, weights[:3]), draw_direction(model), rows=3)
    assert dot_B.item() == pytest.approx(expected[0].item(), rel=1e-9)
    assert norm_B.item() == pytest.approx(expected[1].item(), rel=1e-9)


def test_unknown_uses_keep_the_rows_of_a_sample_together() -> None:
    torch.manual_seed(0)
    net, batch = Net(Twice(WIDTH, WIDTH)).double(), with_weights(draw_batch([4, 2, 3, 4]), [1, -1, 1, -1])
    direction = draw_direction(net)
    with pytest.warns(UserWarning, match=r"middle\.weight"):
        dot_B, norm_B = terms(net, batch, direction)
    flat = torch.stack([flatten(g.values()) for g in gradients_by_name(net, batch, 2, SLOW_PAIRS)])
    assert torch.allclose(dot_B, flat @ direction, rtol=1e-9)
    assert torch.allclose(norm_B, flat.norm(dim=1), rtol=1e-9)


def test_rows_that_make_no_whole_samples_are_refused() -> None:
    batch = with_weights(draw_batch([4, 2, 3]), [1, -1, 1])
    with pytest.raises(ConfigError, match="3 rows are not samples of 2 rows each"):
        terms(tiny_model("llama"), batch, draw_direction(tiny_model("llama")))


def test_an_objective_without_one_loss_per_sample_is_refused() -> None:
    class FirstTwo(TokenSums):
        def losses(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
            return super().losses(network, batch)[:2]

        def counts(self, batch: Mapping[str, Tensor]) -> Tensor:
            return super().counts(batch)[:2]

    model = tiny_model("llama")
    with pytest.raises(
        ConfigError, match=r"losses of shape \[2\] for a batch of 3 rows; allowed is one loss per sample"
    ):
        per_sample_terms(model, draw_batch([4, 2, 3]), FirstTwo(), draw_direction(model))
