"""The backward pass that turns noted uses into per-sample dot products and norms, layer by layer.

Shapes: B samples, T and S positions, O outputs of a layer.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from delt_exp.errors import ConfigError
from delt_exp.gradients.tape import Call, Tape
from delt_exp.gradients.uses import LookupUse, MatrixUse, Use, VectorUse, tied_cross_term, tied_rows


class Reduction:
    """Sums <g_n, direction> and ||g_n||^2 over the parameters whose every use was noted, in float64.

    `dot_B` stays 0 without directions. `left_out` holds the parameters with another use, or with uses combined in a way
    whose algebra is not known (one matrix multiplied twice, say): their part is missing from both sums.
    """

    def __init__(
        self, tape: Tape, losses_B: Tensor, parameters: Sequence[nn.Parameter], directions: Sequence[Tensor] | None
    ) -> None:
        self._directions = {} if directions is None else dict(zip(map(id, parameters), directions, strict=True))
        self._lookups: dict[int, LookupUse] = {}
        self._tied_heads: dict[int, tuple[MatrixUse, Tensor]] = {}
        self._tied_deltas: dict[int, Tensor] = {}
        self._vectors: dict[int, Tensor] = {}
        self.dot_B = torch.zeros(tape.n_samples, dtype=torch.float64, device=losses_B.device)
        self.square_B = torch.zeros_like(self.dot_B)
        self.left_out = self._find_left_out(tape, losses_B, parameters)
        self._reduced = {id(p) for p in parameters} - {id(p) for p in self.left_out}
        self._run_backward(tape, losses_B)
        with torch.no_grad():  # layer inputs hang on the graph of the batch; the sums must not keep it alive
            self._add_what_was_collected()

    def _add_what_was_collected(self) -> None:
        for parameter_id, gradient_BP in self._vectors.items():
            self._add_vector(parameter_id, gradient_BP)
        for parameter_id, (head, rows_BTS) in self._tied_heads.items():
            if parameter_id in self._tied_deltas:
                lookup, delta_BSI = self._lookups[parameter_id], self._tied_deltas[parameter_id]
                self.square_B += tied_cross_term(lookup, delta_BSI, head, rows_BTS)

    def _find_left_out(self, tape: Tape, losses_B: Tensor, parameters: Sequence[nn.Parameter]) -> list[nn.Parameter]:
        edges = _edges_by_parameter(losses_B)
        uses_by_id: dict[int, list[Use]] = defaultdict(list)
        for parameter_id, use in (pair for call in tape.calls for pair in call.uses):
            uses_by_id[parameter_id].append(use)
        with_leaves = {parameter_id for parameter_id, _ in tape.leaves}
        left_out = []
        for p in parameters:
            uses = uses_by_id[id(p)]
            if len(uses) != edges[id(p)] or not self._has_known_algebra(id(p), uses, id(p) in with_leaves):
                left_out.append(p)
        return left_out

    def _has_known_algebra(self, parameter_id: int, uses: list[Use], has_leaves: bool) -> bool:
        if all(isinstance(use, VectorUse) for use in uses):
            return True
        lookups = [use for use in uses if isinstance(use, LookupUse)]
        heads = [use for use in uses if isinstance(use, MatrixUse) and not use.is_transposed]
        if len(lookups) == len(heads) == 1 and len(uses) == 2:
            self._lookups[parameter_id] = lookups[0]
        return not has_leaves and (len(uses) == 1 or parameter_id in self._lookups)

    def _run_backward(self, tape: Tape, losses_B: Tensor) -> None:
        for call in tape.calls:
            call.on_delta = self._reduce
        # Asking only for where gradients enter the model skips the weight gradients.
        inputs: list[Any] = [*(leaf for _, leaf in tape.leaves), *tape.roots, *self.left_out]
        if not self._reduced or not inputs:
            return
        gradients = torch.autograd.grad(losses_B.sum(), inputs, allow_unused=True)
        for call in tape.calls:
            call.on_delta = None  # the graph holds the calls; they must not hold what was made of it
        for (parameter_id, _), gradient in zip(tape.leaves, gradients, strict=False):
            if gradient is not None and parameter_id in self._reduced:
                self._collect_vector(parameter_id, gradient.flatten(1))

    def _reduce(self, call: Call, delta: Tensor) -> None:
        if call.x is not None and call.x._version != call.x_version:
            raise ConfigError(
                "the input of a layer was changed in place after the layer had read it, which hides it from the "
                "per-sample gradients; use a model without in-place operations."
            )
        delta_BTO = delta.reshape(self.dot_B.shape[0], -1, delta.shape[-1])
        for parameter_id, use in call.uses:
            if parameter_id in self._reduced:
                self._reduce_use(parameter_id, use, delta_BTO)

    def _reduce_use(self, parameter_id: int, use: Use, delta_BTO: Tensor) -> None:
        if isinstance(use, VectorUse):
            self._collect_vector(parameter_id, use.gradient(delta_BTO))
            return
        dot_B, square_B = use.terms(delta_BTO, self._directions.get(parameter_id))
        self.square_B += square_B
        if dot_B is not None:
            self.dot_B += dot_B
        if parameter_id in self._lookups and isinstance(use, MatrixUse):
            self._tied_heads[parameter_id] = use, tied_rows(self._lookups[parameter_id], delta_BTO)
        elif parameter_id in self._lookups:
            self._tied_deltas[parameter_id] = delta_BTO

    def _collect_vector(self, parameter_id: int, gradient_BP: Tensor) -> None:
        """Uses of one vector add up before any product is taken."""
        collected = self._vectors.get(parameter_id)
        self._vectors[parameter_id] = gradient_BP if collected is None else collected + gradient_BP

    def _add_vector(self, parameter_id: int, gradient_BP: Tensor) -> None:
        gradient_BP = gradient_BP.double()
        self.square_B += gradient_BP.square().sum(1)
        if parameter_id in self._directions:
            self.dot_B += gradient_BP @ self._directions[parameter_id].reshape(-1).double()


def _edges_by_parameter(losses_B: Tensor) -> Counter[int]:
    """How often the graph of `losses_B` reads each leaf, by id."""
    edges: Counter[int] = Counter()
    seen, pending = set(), [losses_B.grad_fn]
    while pending:
        node = pending.pop()
        for child, _ in node.next_functions if node is not None else ():
            variable = getattr(child, "variable", None)
            if variable is not None:
                edges[id(variable)] += 1
            elif child is not None and child not in seen:
                seen.add(child)
                pending.append(child)
    return edges
