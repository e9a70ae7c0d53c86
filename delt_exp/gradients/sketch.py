"""Sums of sketches: elements added to their buckets, and outer products added as spectra.

Two routes give the same numbers. Scattering a built G = sum_t left_t right_t^T costs its T O I products and O I
additions; in the Fourier domain, where a convolution is a product, it costs T transforms of length K for each side,
however large the layer, and spectra of all positions and layers add up before one inverse transform.

Shapes: B samples, T positions, K features, F frequencies, O and I sides of a matrix, P elements of a parameter, c
samples of a chunk, S directions.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from delt_exp.gradients.projection import Hashing, Projection
from delt_exp.gradients.uses import chunks, scratch_elements


class SketchSum:
    """The running sketches of a batch in float64: some added bucket by bucket, some as spectra.

    Buckets run to 2 K and are folded once at the end, instead of taking every index mod K.
    """

    def __init__(self, num_samples: int, num_features: int, device: torch.device) -> None:
        self._K = num_features
        self._folded = torch.zeros(num_samples, 2 * num_features, dtype=torch.float64, device=device)
        self._spectrum: Tensor | None = None

    def add(self, chunk: slice, bucket: Tensor, values_cP: Tensor) -> None:
        """Add signed values to their buckets, (P,) or (c, P)."""
        num_values, num_buckets = values_cP.shape[1], self._folded.shape[1]
        if num_values < num_buckets:
            self._folded[chunk].scatter_add_(1, bucket.expand(values_cP.shape), values_cP.double())
        else:  # large: summing its few values a bucket as they are costs less than casting all of them
            sums = values_cP.new_zeros(len(values_cP), num_buckets)
            self._folded[chunk] += sums.scatter_add_(1, bucket.expand(values_cP.shape), values_cP)

    def add_product(self, left_BTO: Tensor, right_BTI: Tensor, hashing: Hashing) -> None:
        """Add the sketch of sum_t left_t right_t^T by its spectrum."""
        spectrum_BF = product_spectrum(left_BTO, right_BTI, hashing, self._K).to(torch.complex128)
        self._spectrum = spectrum_BF if self._spectrum is None else self._spectrum + spectrum_BF

    def total(self) -> Tensor:
        """(B, K) float32."""
        total = self._folded[:, : self._K] + self._folded[:, self._K :]
        if self._spectrum is not None:
            total += torch.fft.irfft(self._spectrum, n=self._K)
        return total.float()


def sketched(direction_SP: Tensor, projection: Projection, parameters: Mapping[str, nn.Parameter]) -> Tensor:
    """The features of whole directions, (S, K): their products with features of documents estimate the exact ones."""
    total = SketchSum(len(direction_SP), projection.num_features, direction_SP.device)
    pieces = direction_SP.split([p.numel() for p in parameters.values()], dim=1)
    for (name, parameter), piece in zip(parameters.items(), pieces, strict=True):
        bucket_P, sign_P = projection.hashing(name, parameter.shape, direction_SP.device).of_elements()
        total.add(slice(None), bucket_P, piece * sign_P)
    return total.total()


def product_spectrum(left_BTO: Tensor, right_BTI: Tensor, hashing: Hashing, num_features: int) -> Tensor:
    """Spectrum, (B, F), of the TensorSketch of sum_t left_t right_t^T.

    Chunks of samples, and of positions where those of one sample are too many: each position needs K numbers a side.
    """
    size = max(1, min(left_BTO.shape[1], scratch_elements(left_BTO) // num_features))
    parts = []
    for chunk in chunks(left_BTO, size * num_features):
        pairs = zip(left_BTO[chunk].split(size, 1), right_BTI[chunk].split(size, 1), strict=True)
        parts.append(torch.stack([_spectrum(*pair, hashing, num_features) for pair in pairs]).sum(0))
    return torch.cat(parts)


def _spectrum(left_cTO: Tensor, right_cTI: Tensor, hashing: Hashing, num_features: int) -> Tensor:
    left_cTF, right_cTF = (
        torch.fft.rfft(_count_sketch(side, bucket, sign, num_features))
        for side, bucket, sign in zip((left_cTO, right_cTI), hashing.buckets, hashing.signs, strict=True)
    )
    return (left_cTF * right_cTF).sum(1)


def _count_sketch(x_BTI: Tensor, bucket_I: Tensor, sign_I: Tensor, num_features: int) -> Tensor:
    sketch = x_BTI.new_zeros(*x_BTI.shape[:2], num_features)
    return sketch.scatter_add_(2, bucket_I.expand(x_BTI.shape), x_BTI * sign_I)
