"""Filter-wise squared gradients of each sample of a batch, from layer inputs and output gradients.

A filter is the part of a weight that belongs to one output unit of a layer, one row of a table or one element of a
norm's vector.
Shapes: B samples, T positions, F filters, C weights of a filter, I inputs and O outputs of a layer, P elements of a
vector, D width of a table.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from delt_exp.gradients.elementwise import expanding_elementwise
from delt_exp.gradients.reduction import Reduction
from delt_exp.gradients.tape import Tape
from delt_exp.gradients.uses import FactoredUse, LookupUse, Use, chunks
from delt_exp.progress import say

Body = Callable[[Tensor], Tensor]
"""From token ids (B, T) to last hidden states (B, T, D)."""


@dataclass(frozen=True, eq=False)
class Filters:
    """A weight and the axis along which its filters are counted; `len` is how many numbers it gives an embedding."""

    name: str
    weight: nn.Parameter
    axis: int

    def __len__(self) -> int:
        return int(self.weight.shape[self.axis])

    def means(self, squares: Tensor) -> Tensor:
        """Mean over the weights of each filter, (F,), of a tensor shaped like the weight."""
        return squares.transpose(0, self.axis).flatten(1).mean(1) if squares.dim() > 1 else squares


def filters_of(network: nn.Module, head: nn.Module, *, embeddings: bool) -> list[Filters]:
    """Return every parameter called `weight` outside the head, in the order of the modules; biases do not count.

    embeddings: whether lookup tables do.
    """
    found, seen = [], set()
    for name, module in network.named_modules():
        weight = getattr(module, "weight", None)
        is_wanted = module is not head and (embeddings or not isinstance(module, nn.Embedding))
        if is_wanted and isinstance(weight, nn.Parameter) and id(weight) not in seen:
            seen.add(id(weight))
            # GPT-2's Conv1D holds its outputs along the second axis.
            found.append(Filters(f"{name}.weight", weight, axis=int(isinstance(module, Conv1D))))
    return found


def filter_squares(
    body: Body,
    network: nn.Module,
    filters: Sequence[Filters],
    inputs_BT: Tensor,
    delta_BTD: Tensor,
) -> list[Tensor]:
    """Sum over samples of the filter means of the squared gradient of <body(inputs), delta>, (F,) float64 per weight.

    The full gradient of a sample is built only where that is the cheaper way. A weight used in a way that is not known
    here costs one more forward and backward pass per sample, and one line that says so. `body` is `network` up to the
    last hidden states; at most the weights of `filters` require gradients.
    """
    tape = Tape([f.weight for f in filters], inputs_BT.shape)
    with torch.enable_grad():
        with expanding_elementwise(network, inputs_BT.shape, tape.note_leaf), tape:
            features_BTD = body(inputs_BT)
        products_B = (features_BTD * delta_BTD).flatten(1).sum(1)
        squares = FilterSquares(filters, products_B.device)
        left_out = Reduction(tape, [f.weight for f in filters], squares).run(products_B)
    unknown = {id(p) for p in left_out}
    slow = [f for f in filters if id(f.weight) in unknown]
    if slow:
        say(
            f"{', '.join(f.name for f in slow)}: no fast rule for how these weights are used; computed one sample at "
            "a time, which is slow"
        )
    extra = dict(zip(map(id, slow), filter_squares_reference(body, slow, inputs_BT, delta_BTD), strict=True))
    return [extra[id(f)] if id(f) in extra else squares.sums[id(f.weight)] for f in filters]


def filter_squares_reference(
    body: Body, filters: Sequence[Filters], inputs_BT: Tensor, delta_BTD: Tensor
) -> list[Tensor]:
    """What `filter_squares` returns, from one full gradient per sample."""
    sums = [torch.zeros(len(f), dtype=torch.float64, device=inputs_BT.device) for f in filters]
    weights = [f.weight for f in filters]
    for n in range(inputs_BT.shape[0] if filters else 0):
        with torch.enable_grad():
            product = (body(inputs_BT[n : n + 1]) * delta_BTD[n : n + 1]).sum()
            gradients = torch.autograd.grad(product, weights, allow_unused=True, materialize_grads=True)
        for total, f, gradient in zip(sums, filters, gradients, strict=True):
            total += f.means(gradient.square())
    return sums


class FilterSquares:
    """Collects in `sums`, by parameter id, what `filter_squares` returns."""

    def __init__(self, filters: Sequence[Filters], device: torch.device) -> None:
        self.sums = {id(f.weight): torch.zeros(len(f), dtype=torch.float64, device=device) for f in filters}
        self._filters = {id(f.weight): f for f in filters}

    def accepts(self, parameter_id: int, uses: Sequence[Use]) -> bool:
        """A square of a sum of uses has cross terms, which are not known here."""
        return len(uses) == 1

    def add_use(self, parameter_id: int, use: FactoredUse, delta_BTO: Tensor) -> None:
        if isinstance(use, LookupUse):
            _add_lookup_squares(use, delta_BTO, self.sums[parameter_id])
        else:
            is_output = self._filters[parameter_id].axis == int(use.is_transposed)
            kept, averaged = (delta_BTO, use.x_BTI) if is_output else (use.x_BTI, delta_BTO)
            self.sums[parameter_id] += matrix_squares(kept, averaged)

    def add_vector(self, parameter_id: int, gradient_BP: Tensor) -> None:
        weight = self._filters[parameter_id].weight
        self.sums[parameter_id] += self._filters[parameter_id].means(gradient_BP.square().sum(0).view(weight.shape))


def matrix_squares(kept_BTF: Tensor, averaged_BTC: Tensor) -> Tensor:
    """sum_n mean_c (sum_t a_tf b_tc)^2, (F,), by the cheaper of two forms.

    With the Gram matrix K = b b^T it is diag(a^T K a) / C: T^2 (F + C) products instead of the T F C of the gradient.
    Measured (CPU, float32), equally many products take equally long in both.
    """
    positions, num_filters, size = kept_BTF.shape[1], kept_BTF.shape[2], averaged_BTC.shape[2]
    is_gram = positions * (num_filters + size) < num_filters * size
    total = kept_BTF.new_zeros(num_filters)
    for chunk in chunks(kept_BTF, positions * (positions + num_filters) if is_gram else num_filters * size):
        a, b = kept_BTF[chunk], averaged_BTC[chunk]
        if is_gram:
            total += (torch.bmm(torch.bmm(b, b.transpose(1, 2)), a) * a).sum((0, 1))
        else:
            total += torch.bmm(a.transpose(1, 2), b).square_().sum((0, 2))
    return total / size


def _add_lookup_squares(use: LookupUse, delta_BTD: Tensor, sums_V: Tensor) -> None:
    """Row v of a sample's gradient is the sum of delta over the positions that hold v."""
    sample_B1 = torch.arange(delta_BTD.shape[0], device=delta_BTD.device)[:, None]
    keys, place = torch.unique(sample_B1 * len(sums_V) + use.ids_BT, return_inverse=True)
    rows = delta_BTD.new_zeros(len(keys), delta_BTD.shape[2])
    rows.index_add_(0, place.flatten(), use.effective(delta_BTD).flatten(0, 1))
    sums_V.index_add_(0, keys % len(sums_V), rows.square().mean(1).double())
