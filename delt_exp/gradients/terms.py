"""Collects dot products with fixed directions and norms of per-sample gradients; nothing of a gradient is kept.

Shapes: B samples, T and S positions, O outputs of a layer, P elements of a parameter, c samples of a chunk.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from delt_exp.gradients.uses import FactoredUse, LookupUse, MatrixUse, Use, tied_cross_term, tied_rows


class Terms:
    """Sums <g_n, direction> and ||g_n||^2 over the parameters, in float64: parts of a model differ in size by decades.

    `dot` is (B,) for a flat direction, (B, directions) for several as rows, and 0 without.
    """

    def __init__(self, direction: Tensor | None, parameters: Mapping[str, nn.Parameter], losses_B: Tensor) -> None:
        self._directions: dict[int, Tensor] = {}
        shape = [len(losses_B)]
        if direction is not None:
            pieces = direction.split([p.numel() for p in parameters.values()], dim=-1)
            self._directions = dict(zip(map(id, parameters.values()), pieces, strict=True))
            shape += direction.shape[:-1]
        self.dot = torch.zeros(shape, dtype=torch.float64, device=losses_B.device)
        self.square_B = torch.zeros(len(losses_B), dtype=torch.float64, device=losses_B.device)
        self._lookups: dict[int, LookupUse] = {}
        self._tied_heads: dict[int, tuple[MatrixUse, Tensor]] = {}
        self._tied_deltas: dict[int, Tensor] = {}

    def norms(self) -> Tensor:
        """||g_n||, (B,); rounding can take a zero square of tied weights below zero."""
        return self.square_B.clamp(min=0).sqrt()

    def accepts(self, parameter_id: int, uses: Sequence[Use]) -> bool:
        """A norm is not linear: two uses have a cross term, known here for a lookup and the head that shares it."""
        lookups = [use for use in uses if isinstance(use, LookupUse)]
        heads = [use for use in uses if isinstance(use, MatrixUse) and not use.is_transposed]
        is_tied = len(lookups) == len(heads) == 1 and len(uses) == 2
        if is_tied:
            self._lookups[parameter_id] = lookups[0]
        return is_tied or len(uses) == 1

    def add_use(self, parameter_id: int, use: FactoredUse, delta_BTO: Tensor) -> None:
        dot, square_B = use.terms(delta_BTO, self._directions.get(parameter_id))
        self.square_B += square_B
        if dot is not None:
            self.dot += dot
        if parameter_id in self._lookups and isinstance(use, MatrixUse):
            self._tied_heads[parameter_id] = use, tied_rows(self._lookup(parameter_id), delta_BTO)
        elif parameter_id in self._lookups:
            self._tied_deltas[parameter_id] = delta_BTO

    def add_vector(self, parameter_id: int, gradient_BP: Tensor) -> None:
        """Vectors are small: their products are float64 too."""
        self.add_built(parameter_id, slice(None), gradient_BP.double())

    def add_built(self, parameter_id: int, chunk: slice, gradient_cP: Tensor) -> None:
        """Products are in the type of the gradients."""
        direction = self._directions.get(parameter_id)
        self.square_B[chunk] += gradient_cP.square().sum(1)
        if direction is not None:
            self.dot[chunk] += gradient_cP @ direction.t().to(gradient_cP.dtype)

    def finish(self) -> None:
        for parameter_id, (head, rows_BTS) in self._tied_heads.items():
            if parameter_id in self._tied_deltas:
                delta_BSI = self._tied_deltas[parameter_id]
                self.square_B += tied_cross_term(self._lookup(parameter_id), delta_BSI, head, rows_BTS)

    def _lookup(self, parameter_id: int) -> LookupUse:
        return self._lookups[parameter_id].by_sample(len(self.square_B))
