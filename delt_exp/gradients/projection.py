"""Random projections of gradients to K numbers whose inner products estimate those of the gradients without bias.

The law. Every element of every parameter has a bucket in 0..K-1 and a sign, and y_k is the sum of sign times gradient
over the elements in bucket k. A matrix draws both per row and per column, bucket (h_row + h_column) mod K and sign
s_row s_column (TensorSketch, Pham & Pagh 2013, doi 10.1145/2487575.2487591); any other parameter draws them per element
(CountSketch, Charikar et al. 2002). All parameters share the K buckets. With blocks of their own, most numbers would go
to layers that hold little of the norm; shared, the error of a cosine is about 1 / sqrt(K) wherever the norm is.

Why rows and columns: the sketch of an outer product is then the circular convolution of the sketches of its factors,
and a layer's gradient, a sum of outer products, is sketched from its factors without being built. The price is a larger
variance for gradients of rank 1: at most 8 / K of |u|^2 |v|^2, where buckets per element give 2 / K.

Buckets and signs are drawn on the CPU from the seed and the parameter's NAME: a device generator would make features
depend on the card, and one stream for all would change every layer after an added one.

Shapes: K features, P elements of a parameter, M and N samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.random import PCG64
from torch import Tensor, nn

from delt_exp.config.fields import Seed, Several, settings
from delt_exp.errors import ConfigError
from delt_exp.files import digest
from delt_exp.rows.draws import seed_for


@dataclass(frozen=True, eq=False)
class Hashing:
    """Buckets (int64) and signs (float32, 1 and -1) of a parameter, one pair of vectors per axis."""

    buckets: tuple[Tensor, ...]
    signs: tuple[Tensor, ...]

    def of_elements(self) -> tuple[Tensor, Tensor]:
        """Bucket, not yet reduced mod K, and sign of every element in the order of the parameter; (P,) each."""
        if len(self.buckets) == 1:
            return self.buckets[0], self.signs[0]
        (row, column), (row_sign, column_sign) = self.buckets, self.signs
        return (row[:, None] + column).flatten(), (row_sign[:, None] * column_sign).flatten()

    def to(self, device: torch.device) -> "Hashing":
        """The same on a device."""
        return Hashing(tuple(t.to(device) for t in self.buckets), tuple(t.to(device) for t in self.signs))


@settings
class Projection:
    """A sketch of a gradient in `num_features` numbers. The error of a cosine is about 1 / sqrt(num_features).

    Raises ConfigError for fewer than 2 features or a seed that is not a whole number of at least 0.
    """

    VERSION: ClassVar[int] = 1
    LAW: ClassVar[str] = "shared TensorSketch of matrices, CountSketch of other parameters"
    num_features: Several
    seed: Seed

    def hashing(self, name: str, shape: torch.Size, device: torch.device | str = "cpu") -> Hashing:
        """Buckets and signs of the parameter called `name`; drawn once, then reused."""
        key = name, tuple(shape), str(device)
        if key not in self._drawn:
            self._drawn[key] = self._draw(name, shape).to(torch.device(device))
        return self._drawn[key]

    def describe(self, parameters: Mapping[str, nn.Parameter]) -> dict[str, Any]:
        """What must be stored with features, ready for JSON; `parameters` as `trainable_parameters` gives them."""
        shapes = [[name, list(p.shape)] for name, p in parameters.items()]
        law = f"{self.LAW}, version {self.VERSION}"
        return {"law": law, "num_features": self.num_features, "seed": self.seed, "parameters": shapes}

    @cached_property
    def _drawn(self) -> dict[tuple[str, tuple[int, ...], str], Hashing]:
        return {}

    def _draw(self, name: str, shape: torch.Size) -> Hashing:
        # Raw words, which numpy promises to keep as they are; it does not promise that of its distributions.
        words = PCG64(seed_for(self.seed, "gradient sketch of a parameter", int(digest(name), 16)))
        sizes = list(shape) if len(shape) == 2 else [shape.numel()]
        drawn = [words.random_raw(n) for n in sizes]
        buckets = tuple(torch.from_numpy((raw >> np.uint64(1)) % np.uint64(self.num_features)).long() for raw in drawn)
        return Hashing(buckets, tuple(torch.from_numpy((raw & np.uint64(1)) * 2.0 - 1).float() for raw in drawn))


def inner_products(left_MK: Tensor, left: Mapping[str, Any], right_NK: Tensor, right: Mapping[str, Any]) -> Tensor:
    """Estimates of `<g_m, g_n>`, (M, N) float64, from features and what `Projection.describe` says of either.

    Raises ConfigError where law, size, seed or parameters differ: such products would look right and mean nothing.
    """
    for key in ("law", "num_features", "seed", "parameters"):
        if left[key] != right[key]:
            a, b = _first_difference(left[key], right[key])
            raise ConfigError(
                f"features of unlike projections cannot be multiplied: {key} is {a} on one side and {b} on the other; "
                "make both with the same projection of the same parameters"
            )
    return left_MK.double() @ right_NK.double().T


def _first_difference(left: Any, right: Any) -> tuple[str, str]:
    if not isinstance(left, list):
        return repr(left), repr(right)
    n = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    here, there = (repr(side[n]) if n < len(side) else "nothing more" for side in (left, right))
    return here, there
