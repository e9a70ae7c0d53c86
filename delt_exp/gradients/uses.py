"""The algebra of per-sample gradients: what one use of a parameter in a forward pass adds to a sample's gradient.

A linear layer's gradient for one sample is G = sum_t delta_t x_t^T: T outer products of short vectors. Most of what one
wants of G follows from the vectors alone. <G, V> = sum_t delta_t . (V x_t) costs one more product like the forward
pass, and ||G||^2 = sum_ts (delta_t . delta_s)(x_t . x_s) costs two Gram matrices of T x T (a "ghost" norm). Building G
instead costs T I O products and I O numbers of memory for each sample at once. Short samples favour the Gram matrices,
thin layers (LoRA) and long samples favour building, so every layer chooses by its own shape. Built gradients live for
one chunk of samples at a time: a batch of them would be as large as the batch times the model.

Shapes: B samples, T and S positions (all rows and dimensions of a sample between the first and the last, flattened), I
inputs, O outputs, V vocabulary, D width of a table, P elements of one parameter, c samples of a chunk. delta is the
gradient of the summed losses with respect to the output of the use. A direction is flat, (P,), or several as rows; dot
products then have a last dimension for them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

# All in positions of the matrix product that makes one sample's weight gradient (measured, CPU, float32). The gradient
# is written once and read twice, and every further direction reads it once more; a Gram matrix runs at about a quarter
# of that product's speed, because it is small.
_MATERIALISE_POSITIONS = 40
_DIRECTION_POSITIONS = 10
_GRAM_SLOWNESS = 4
# Numbers of scratch memory: a chunk shall stay in the cache of a CPU, but fill a GPU.
_SCRATCH_ELEMENTS = {"cpu": 2**19, "cuda": 2**26}


@dataclass(eq=False)
class MatrixUse:
    """y = W x for every position; W is (O, I), or (I, O) where `is_transposed`. G_n = sum_t delta_t x_t^T."""

    x_BTI: Tensor
    is_transposed: bool

    def by_sample(self, num_samples: int) -> "MatrixUse":
        """The same use with the rows of a sample one after the other, as positions of one long row."""
        return replace(self, x_BTI=self.x_BTI.reshape(num_samples, -1, self.x_BTI.shape[-1]))

    def factors(self, delta_BTO: Tensor) -> tuple[Tensor, Tensor]:
        """(left, right) with G_n = left_n^T right_n in the layout of the weight, at least float32."""
        left, right = (self.x_BTI, delta_BTO) if self.is_transposed else (delta_BTO, self.x_BTI)
        return accumulable(left), accumulable(right)

    def build(self, delta_BTO: Tensor, chunk: slice) -> Tensor:
        """The gradients of the samples of a chunk, (c, P)."""
        left, right = replace(self, x_BTI=self.x_BTI[chunk]).factors(delta_BTO[chunk])
        return torch.bmm(left.transpose(1, 2), right).flatten(1)

    def terms(self, delta_BTO: Tensor, direction: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """<G_n, direction>, (B,) or (B, directions), or None without one; and ||G_n||^2, (B,). The cheaper form."""
        left, right = self.factors(delta_BTO)
        positions, rows, columns = left.shape[1], left.shape[2], right.shape[2]
        num_directions = 0 if direction is None else direction.numel() // (rows * columns)
        product = positions * rows * columns
        passes = _MATERIALISE_POSITIONS + _DIRECTION_POSITIONS * max(0, num_directions - 1)
        materialised_cost = product + passes * rows * columns
        gram_cost = _GRAM_SLOWNESS * positions**2 * (rows + columns) + num_directions * product
        form = _materialised_terms if materialised_cost <= gram_cost else _gram_terms
        return form(left, right, direction)


def _materialised_terms(left: Tensor, right: Tensor, direction: Tensor | None) -> tuple[Tensor | None, Tensor]:
    dots, squares = [], []
    for chunk in chunks(left, left.shape[2] * right.shape[2]):
        gradient_cP = torch.bmm(left[chunk].transpose(1, 2), right[chunk]).flatten(1)
        squares.append(torch.linalg.vector_norm(gradient_cP, dim=1).square())
        if direction is not None:
            dots.append(gradient_cP @ direction.t())
    return torch.cat(dots) if dots else None, torch.cat(squares)


def _gram_terms(left: Tensor, right: Tensor, direction: Tensor | None) -> tuple[Tensor | None, Tensor]:
    squares = []
    for chunk in chunks(left, left.shape[1] ** 2):
        grams = [torch.bmm(side[chunk], side[chunk].transpose(1, 2)).flatten(1) for side in (left, right)]
        squares.append(torch.linalg.vecdot(*grams))

    def dot(one: Tensor) -> Tensor:
        matrix = one.reshape(left.shape[2], right.shape[2])
        return torch.linalg.vecdot((left @ matrix).flatten(1), right.flatten(1))

    return _for_each(direction, dot), torch.cat(squares)


@dataclass(eq=False)
class LookupUse:
    """y_t = W[id_t]: row v of G_n is the sum of delta_t over the positions t that hold v, and 0 for the padding row."""

    ids_BT: Tensor
    padding_id: int | None
    vocab: int

    def by_sample(self, num_samples: int) -> "LookupUse":
        """As MatrixUse.by_sample."""
        return replace(self, ids_BT=self.ids_BT.reshape(num_samples, -1))

    def effective(self, delta_BTD: Tensor) -> Tensor:
        """delta without the positions that hold the padding row."""
        delta_BTD = accumulable(delta_BTD)
        if self.padding_id is None:
            return delta_BTD
        return delta_BTD.masked_fill((self.ids_BT == self.padding_id)[..., None], 0)

    def build(self, delta_BTD: Tensor, chunk: slice) -> Tensor:
        """As MatrixUse.build: the whole table for every sample, zeros and all."""
        part = replace(self, ids_BT=self.ids_BT[chunk])
        delta_cTD, num_samples = part.effective(delta_BTD[chunk]), part.ids_BT.shape[0]
        first_c1 = torch.arange(num_samples, device=part.ids_BT.device)[:, None] * self.vocab
        table = delta_cTD.new_zeros(num_samples * self.vocab, delta_cTD.shape[2])
        return table.index_add_(0, (part.ids_BT + first_c1).flatten(), delta_cTD.flatten(0, 1)).view(num_samples, -1)

    def terms(self, delta_BTD: Tensor, direction: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """As MatrixUse.terms. Always by Gram matrices: nearly all rows of a built table would be zeros."""
        delta_BTD = self.effective(delta_BTD)
        squares = []
        for chunk in chunks(delta_BTD, delta_BTD.shape[1] ** 2):
            delta_cTD, ids_cT = delta_BTD[chunk], self.ids_BT[chunk]
            gram_cTT = torch.bmm(delta_cTD, delta_cTD.transpose(1, 2))
            squares.append((gram_cTT * (ids_cT[:, :, None] == ids_cT[:, None, :])).sum((1, 2)))

        def dot(one: Tensor) -> Tensor:
            table = one.reshape(self.vocab, -1)
            return torch.linalg.vecdot(delta_BTD.flatten(1), table[self.ids_BT].flatten(1))

        return _for_each(direction, dot), torch.cat(squares)


@dataclass(eq=False)
class VectorUse:
    """y = w * scale() + ... along the trailing dimensions; `scale` None stands for ones. Small enough to build.

    `scale` is a function, so that a norm's normalised input is made again in the backward pass instead of kept.
    """

    scale: Callable[[], Tensor] | None
    shape: torch.Size

    def by_sample(self, num_samples: int) -> "VectorUse":
        """As MatrixUse.by_sample; `gradient` takes the samples from delta."""
        return self

    def gradient(self, delta: Tensor) -> Tensor:
        """The gradients themselves, shape (B, elements of w)."""
        product = accumulable(delta)
        if self.scale is not None:
            product = product * accumulable(self.scale()).reshape(delta.shape)
        return product.reshape(delta.shape[0], -1, self.shape.numel()).sum(1)


FactoredUse = MatrixUse | LookupUse
"""Uses whose gradients are known by two factors, and are large when built."""

Use = FactoredUse | VectorUse


def tied_rows(lookup: LookupUse, delta_BTV: Tensor) -> Tensor:
    """delta_t[id_s] of the head, for its positions t and the lookup's positions s, shape (B, T, S).

    All that the cross term of a weight shared by a lookup and a head needs of the head's delta, which is as large as
    the logits and need not wait for the lookup at the other end of the backward pass.
    """
    ids_BTS = lookup.ids_BT[:, None].expand(-1, delta_BTV.shape[1], -1)
    return accumulable(delta_BTV.gather(2, ids_BTS))


def tied_cross_term(lookup: LookupUse, delta_lookup_BSI: Tensor, head: MatrixUse, rows_BTS: Tensor) -> Tensor:
    """2 <G_n of the lookup, G_n of the head>, shape (B,): what the shared ||G_n||^2 has beyond the two squares."""
    products_BTS = torch.bmm(accumulable(head.x_BTI), lookup.effective(delta_lookup_BSI).transpose(1, 2))
    return 2 * torch.linalg.vecdot(rows_BTS.flatten(1), products_BTS.flatten(1))


def chunks(samples: Tensor, elements_per_sample: int) -> Iterator[slice]:
    """Slices over the samples that keep the scratch memory bounded, one sample at least."""
    size = max(1, scratch_elements(samples) // elements_per_sample)
    return (slice(start, start + size) for start in range(0, samples.shape[0], size))


def scratch_elements(like: Tensor) -> int:
    """How many numbers of scratch memory suit the device of `like`."""
    return _SCRATCH_ELEMENTS.get(like.device.type, _SCRATCH_ELEMENTS["cpu"])


def accumulable(t: Tensor) -> Tensor:
    """`t`, at least float32: sums over positions in half precision would lose the small terms."""
    return t.to(torch.promote_types(t.dtype, torch.float32))


def _for_each(direction: Tensor | None, dot: Callable[[Tensor], Tensor]) -> Tensor | None:
    if direction is None or direction.dim() == 1:
        return None if direction is None else dot(direction)
    return torch.stack([dot(one) for one in direction], dim=-1)
