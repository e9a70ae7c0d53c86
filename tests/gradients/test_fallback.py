"""Models that use parameters in ways the kernel does not know: named in a warning, and right all the same."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from delt_exp.errors import ConfigError
from delt_exp.gradients.kernel import per_sample_terms
from delt_exp.gradients.reference import per_sample_terms_reference
from delt_exp.model.objective import CrossEntropy
from tests.gradients.tiny import VOCAB, draw_batch, draw_direction

WIDTH = 6


class Net(nn.Module):
    """Embedding, one layer that tests replace, head."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(VOCAB, WIDTH), nn.Linear(WIDTH, VOCAB, bias=False)
        self.middle = middle

    def forward(self, input_ids: Tensor, use_cache: bool) -> "Net":
        self.logits = self.head(self.middle(self.embed(input_ids)))
        return self


class Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.core = nn.Parameter(torch.randn(WIDTH, WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bti,ijk,btj->btk", x, self.core, x)


class Twice(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.tanh(super().forward(x)))


class NormOfWeight(nn.Module):
    """Looks like a scaling layer, but its scale mixes the elements of the weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight / self.weight.norm()


class RowsReordered(nn.Linear):
    """Linear on a flat list of tokens in an order of its own, as mixtures of experts do."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, WIDTH).flip(0).clone()
        return super().forward(flat).flip(0).reshape(x.shape)


class PositionsFirst(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(0, 1)).transpose(0, 1)


class PositionsFirstInMemory(nn.Linear):
    """Flattens a tensor of shape (B, T, ...) whose memory, and so its flat view, has the positions first."""

    def forward(self, x: Tensor) -> Tensor:
        whole = torch.relu(x.transpose(0, 1).contiguous().transpose(0, 1))
        rows = super().forward(whole.transpose(0, 1).reshape(-1, WIDTH))
        return rows.reshape(x.shape[1], x.shape[0], WIDTH).transpose(0, 1)


class Flattened(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.view(-1, WIDTH)).view(x.shape)


class SharedScale(nn.Module):
    """One scale used twice, which needs no fallback."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.weight * x) * self.weight


class OutsideItsLayer(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x @ self.weight


class InPlace(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        changed = x.clone()
        y = F.linear(changed, self.weight)
        changed.mul_(2)
        return y


def terms_and_reference(middle: nn.Module, shape: list[int], trains_embedding: bool = True) -> tuple[Any, Any]:
    torch.manual_seed(0)
    net = Net(middle).double()
    net.embed.requires_grad_(trains_embedding)
    batch, direction = draw_batch(shape), draw_direction(net)
    return per_sample_terms(net, batch, CrossEntropy(), direction), per_sample_terms_reference(net, batch, direction)


def assert_same(pair: tuple[Any, Any]) -> None:
    for found, expected in zip(*pair, strict=True):
        assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize(
    ("middle", "name"),
    [
        (Bilinear(), "middle.core"),
        (Twice(WIDTH, WIDTH), "middle.weight"),
        (NormOfWeight(), "middle.weight"),
        (RowsReordered(WIDTH, WIDTH), "middle.weight, middle.bias"),
        (PositionsFirst(WIDTH, WIDTH), "middle.weight, middle.bias"),
        (OutsideItsLayer(WIDTH, WIDTH, bias=False), "middle.weight"),
    ],
)
@pytest.mark.parametrize("shape", [[4, 2, 3], [3, 3, 3], [1, 1]])
def test_unknown_uses_are_named_and_right(middle: nn.Module, name: str, shape: list[int]) -> None:
    with pytest.warns(UserWarning, match=f"uses {name} in a way"):
        assert_same(terms_and_reference(middle, shape))


def test_layers_reached_through_unknown_ones_alone_are_not_forgotten() -> None:
    layers = nn.Sequential(Bilinear(), nn.Linear(WIDTH, WIDTH))
    with pytest.warns(UserWarning, match="uses middle.0.core in a way"):
        assert_same(terms_and_reference(layers, [4, 2, 3], trains_embedding=False))


def test_a_flat_view_of_another_order_is_not_taken_for_the_order_of_samples() -> None:
    with pytest.warns(UserWarning, match="uses middle.weight, middle.bias in a way"):
        assert_same(terms_and_reference(PositionsFirstInMemory(WIDTH, WIDTH), [4, 2, 3]))


@pytest.mark.parametrize("middle", [Flattened(WIDTH, WIDTH), SharedScale(), nn.LayerNorm(WIDTH), nn.RMSNorm(WIDTH)])
def test_known_uses_need_no_fallback(middle: nn.Module, recwarn: pytest.WarningsRecorder) -> None:
    assert_same(terms_and_reference(middle, [4, 2, 3]))
    assert not recwarn.list


def test_one_token_of_one_sample_is_right_where_orders_cannot_differ() -> None:
    assert_same(terms_and_reference(RowsReordered(WIDTH, WIDTH), [1]))


def test_an_input_changed_in_place_is_an_error() -> None:
    with pytest.raises(ConfigError, match="changed in place"):
        terms_and_reference(InPlace(WIDTH, WIDTH), [4, 2])
