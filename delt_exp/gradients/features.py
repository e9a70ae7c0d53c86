"""Features of samples: sketches of their gradients, whose inner products estimate those of the gradients.

For what must be compared later, or all with all. Where the directions are known beforehand, `per_sample_terms` gives
exact products and stores nothing.

Shapes: B samples, T positions, O outputs of a layer, K features, P elements of a parameter, c samples of a chunk.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from delt_exp.gradients.kernel import collect_gradients
from delt_exp.gradients.mapped import Transform
from delt_exp.gradients.projection import Hashing, Projection
from delt_exp.gradients.sketch import SketchSum
from delt_exp.gradients.uses import FactoredUse, LookupUse, MatrixUse, Use, chunks
from delt_exp.model.batch import Batch
from delt_exp.model.objective import Objective

# In multiply-adds of the product that builds G (measured, CPU, float32): the two transforms of a token and the product
# of their spectra, per K log2 K; and scattering one element of G, its index included.
_TRANSFORM_COST = 8
_SCATTER_COST = 45


def per_sample_features(
    model: nn.Module,
    batch: Batch,
    objective: Objective,
    projection: Projection,
    transform: Transform | None = None,
    autocast_dtype: torch.dtype | None = None,
) -> Tensor:
    """Sketch of f(g_n) of each sample, (B, K) float32, on the device of the model.

    g_n is the gradient of sample n's mean loss, dropout off, over the trainable parameters, f is `transform` or leaves
    it as it is. Inner products of features are unbiased estimates of those of the gradients; divide by the features'
    own norms for cosines, whose error is then about 1 / sqrt(K). Store `projection.describe` with them.
    """
    open_sketches = partial(Sketches, projection)
    return collect_gradients(model, batch, objective, open_sketches, autocast_dtype, transform).total()


class Sketches:
    """Collects a sketch per sample, by the cheaper route for each layer: from its factors, or from the built gradient.

    A sketch is linear, so that the uses of a shared weight, a tied head and embedding say, simply add up.
    """

    def __init__(self, projection: Projection, parameters: Mapping[str, nn.Parameter], losses_B: Tensor) -> None:
        self._hashings = {id(p): projection.hashing(name, p.shape, p.device) for name, p in parameters.items()}
        self._sum = SketchSum(len(losses_B), projection.num_features, losses_B.device)
        self._transform_cost = _TRANSFORM_COST * projection.num_features * math.log2(projection.num_features)

    def total(self) -> Tensor:
        """The features, (B, K) float32."""
        return self._sum.total()

    def accepts(self, parameter_id: int, uses: Sequence[Use]) -> bool:
        return True

    def add_use(self, parameter_id: int, use: FactoredUse, delta_BTO: Tensor) -> None:
        if isinstance(use, LookupUse):
            self._add_lookup(use, delta_BTO, self._hashings[parameter_id])
        else:
            self._add_matrix(use, delta_BTO, self._hashings[parameter_id])

    def add_vector(self, parameter_id: int, gradient_BP: Tensor) -> None:
        self.add_built(parameter_id, slice(None), gradient_BP)

    def add_built(self, parameter_id: int, chunk: slice, gradient_cP: Tensor) -> None:
        bucket_P, sign_P = self._hashings[parameter_id].of_elements()
        self._sum.add(chunk, bucket_P, gradient_cP * sign_P)

    def finish(self) -> None:
        """Spectra wait in the sum for their one inverse transform."""

    def _add_matrix(self, use: MatrixUse, delta_BTO: Tensor, hashing: Hashing) -> None:
        left, right = use.factors(delta_BTO)
        positions, elements = left.shape[1], left.shape[2] * right.shape[2]
        if positions * self._transform_cost < (positions + _SCATTER_COST) * elements:
            self._sum.add_product(left, right, hashing)
            return
        # The signs go to the factors, which are smaller than their product.
        left, right = left * hashing.signs[0], right * hashing.signs[1]
        bucket_P, _ = hashing.of_elements()
        for chunk in chunks(left, elements):
            self._sum.add(chunk, bucket_P, torch.bmm(left[chunk].transpose(1, 2), right[chunk]).flatten(1))

    def _add_lookup(self, use: LookupUse, delta_BTD: Tensor, hashing: Hashing) -> None:
        """Row by row, whatever the size of the table."""
        (row_bucket, column_bucket), (row_sign, column_sign) = hashing.buckets, hashing.signs
        for chunk in chunks(delta_BTD, delta_BTD.shape[1] * delta_BTD.shape[2]):
            part = LookupUse(use.ids_BT[chunk], use.padding_id, use.vocab)
            signed = part.effective(delta_BTD[chunk]) * row_sign[part.ids_BT][..., None] * column_sign
            bucket = row_bucket[part.ids_BT][..., None] + column_bucket
            self._sum.add(chunk, bucket.flatten(1), signed.flatten(1))
