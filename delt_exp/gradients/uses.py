"""The algebra of per-sample gradients: what one use of a parameter in a forward pass adds to a sample's gradient.

Shapes: B samples, T and S positions (all dimensions between the first and the last, flattened), I inputs, O outputs,
V vocabulary, P elements of one parameter, c samples of a chunk. delta is the gradient of the summed losses with respect
to the output of the use.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

# One sample's weight gradient is written once and read twice, which costs about as much as this many positions of the
# matrix product that makes it; a Gram matrix runs at about a quarter of that product's speed (measured, CPU, float32).
_MATERIALISE_POSITIONS = 40
_GRAM_SLOWNESS = 4
_SCRATCH_ELEMENTS = {"cpu": 2**19, "cuda": 2**26}


@dataclass(eq=False)
class MatrixUse:
    """y = W x for every position; W is (O, I), or (I, O) where `is_transposed`. G_n = sum_t delta_t x_t^T."""

    x_BTI: Tensor
    is_transposed: bool

    def terms(self, delta_BTO: Tensor, direction: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """<G_n, direction> (None without direction) and ||G_n||^2, both of shape (B,), by the cheaper of two forms."""
        left, right = (self.x_BTI, delta_BTO) if self.is_transposed else (delta_BTO, self.x_BTI)
        left, right = (_accumulable(t) for t in (left, right))
        positions, rows, columns = left.shape[1], left.shape[2], right.shape[2]
        product = positions * rows * columns
        materialised_cost = product + _MATERIALISE_POSITIONS * rows * columns
        gram_cost = _GRAM_SLOWNESS * positions**2 * (rows + columns) + (product if direction is not None else 0)
        form = _materialised_terms if materialised_cost <= gram_cost else _gram_terms
        return form(left, right, direction)


def _materialised_terms(left: Tensor, right: Tensor, direction: Tensor | None) -> tuple[Tensor | None, Tensor]:
    dots, squares = [], []
    for chunk in chunks(left, left.shape[2] * right.shape[2]):
        gradient_cP = torch.bmm(left[chunk].transpose(1, 2), right[chunk]).flatten(1)
        squares.append(torch.linalg.vector_norm(gradient_cP, dim=1).square())
        if direction is not None:
            dots.append(gradient_cP @ direction.reshape(-1))
    return torch.cat(dots) if dots else None, torch.cat(squares)


def _gram_terms(left: Tensor, right: Tensor, direction: Tensor | None) -> tuple[Tensor | None, Tensor]:
    squares = []
    for chunk in chunks(left, left.shape[1] ** 2):
        grams = [torch.bmm(side[chunk], side[chunk].transpose(1, 2)).flatten(1) for side in (left, right)]
        squares.append(torch.linalg.vecdot(*grams))
    if direction is None:
        return None, torch.cat(squares)
    return torch.linalg.vecdot((left @ direction).flatten(1), right.flatten(1)), torch.cat(squares)


@dataclass(eq=False)
class LookupUse:
    """y_t = W[id_t]: row v of G_n is the sum of delta_t over the positions t that hold v, and 0 for the padding row."""

    ids_BT: Tensor
    padding_id: int | None

    def effective(self, delta_BTO: Tensor) -> Tensor:
        """delta without the positions that hold the padding row."""
        delta_BTO = _accumulable(delta_BTO)
        if self.padding_id is None:
            return delta_BTO
        return delta_BTO.masked_fill((self.ids_BT == self.padding_id)[..., None], 0)

    def terms(self, delta_BTO: Tensor, direction: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """As MatrixUse.terms."""
        delta_BTO = self.effective(delta_BTO)
        squares = []
        for chunk in chunks(delta_BTO, delta_BTO.shape[1] ** 2):
            delta_cTO, ids_cT = delta_BTO[chunk], self.ids_BT[chunk]
            gram_cTT = torch.bmm(delta_cTO, delta_cTO.transpose(1, 2))
            squares.append((gram_cTT * (ids_cT[:, :, None] == ids_cT[:, None, :])).sum((1, 2)))
        if direction is None:
            return None, torch.cat(squares)
        return torch.linalg.vecdot(delta_BTO.flatten(1), direction[self.ids_BT].flatten(1)), torch.cat(squares)


@dataclass(eq=False)
class VectorUse:
    """y = w * scale() + ... along the trailing dimensions; `scale` None stands for ones. Small enough to build."""

    scale: Callable[[], Tensor] | None
    shape: torch.Size

    def gradient(self, delta: Tensor) -> Tensor:
        """The gradients themselves, shape (B, elements of w)."""
        product = _accumulable(delta)
        if self.scale is not None:
            product = product * _accumulable(self.scale()).reshape(delta.shape)
        return product.reshape(delta.shape[0], -1, self.shape.numel()).sum(1)


Use = MatrixUse | LookupUse | VectorUse


def tied_rows(lookup: LookupUse, delta_BTV: Tensor) -> Tensor:
    """delta_t[id_s] of the head, for its positions t and the lookup's positions s, shape (B, T, S).

    All that the cross term of a weight shared by a lookup and a head needs of the head's large delta.
    """
    ids_BTS = lookup.ids_BT[:, None].expand(-1, delta_BTV.shape[1], -1)
    return _accumulable(delta_BTV.gather(2, ids_BTS))


def tied_cross_term(lookup: LookupUse, delta_lookup_BSI: Tensor, head: MatrixUse, rows_BTS: Tensor) -> Tensor:
    """2 <G_n of the lookup, G_n of the head>, shape (B,): what the shared ||G_n||^2 has beyond the two squares."""
    products_BTS = torch.bmm(_accumulable(head.x_BTI), lookup.effective(delta_lookup_BSI).transpose(1, 2))
    return 2 * torch.linalg.vecdot(rows_BTS.flatten(1), products_BTS.flatten(1))


def chunks(samples: Tensor, elements_per_sample: int) -> Iterator[slice]:
    """Slices over the samples that keep the scratch memory bounded, one sample at least."""
    size = max(1, _SCRATCH_ELEMENTS.get(samples.device.type, 2**19) // elements_per_sample)
    return (slice(start, start + size) for start in range(0, samples.shape[0], size))


def _accumulable(t: Tensor) -> Tensor:
    return t.to(torch.promote_types(t.dtype, torch.float32))
