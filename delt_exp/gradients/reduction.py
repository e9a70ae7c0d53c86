"""The backward pass that hands what is known of per-sample gradients to a collector, layer by layer.

Autograd sums a weight's gradient over the batch before anyone sees it. Here the backward pass stops at every noted
output instead: its delta and the layer's input are all that the per-sample gradients need, both are in memory at that
moment and neither is kept. No weight gradient is computed: that saves a third of a training step, and pays for what is
done with delta and input. The price is that every use of a parameter has to be known: one that is missed would give a
wrong number and no error. So the graph's own edges to each parameter are counted, and a parameter with more edges than
noted uses is left out of the pass and returned.

Shapes: B samples, T and S positions of all rows of a sample, O outputs of a layer, P elements of a parameter.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from delt_exp.errors import ConfigError
from delt_exp.gradients.tape import Call, Tape
from delt_exp.gradients.uses import FactoredUse, Use, VectorUse


class Collector(Protocol):
    """What becomes of the gradients of one batch. Parameters go by their `id`."""

    def accepts(self, parameter_id: int, uses: Sequence[Use]) -> bool:
        """Whether uses combined like this can be collected; asked once per parameter, before the first `add_use`.

        They are all vector uses (or copies per sample), or none of them is.
        """

    def add_use(self, parameter_id: int, use: FactoredUse, delta_BTO: Tensor) -> None:
        """Take what one use of a weight adds to the gradients."""

    def add_vector(self, parameter_id: int, gradient_BP: Tensor) -> None:
        """Take the whole gradients of a parameter that is used as a vector."""


class BuiltCollector(Collector, Protocol):
    """One that takes the gradients of a weight also as they are, and so those of parameters that were left out."""

    def add_built(self, parameter_id: int, chunk: slice, gradient_cP: Tensor) -> None:
        """Take the whole gradients of one parameter for the samples of a chunk."""

    def finish(self) -> None:
        """All gradients of all parameters were taken."""


class Reduction:
    """One backward pass over a recorded forward pass, into a collector."""

    def __init__(self, tape: Tape, parameters: Sequence[nn.Parameter], collector: Collector) -> None:
        self._tape, self._parameters, self._collector = tape, parameters, collector
        self._reduced: set[int] = set()
        self._vectors: dict[int, Tensor] = {}
        self._num_samples = 0

    def run(self, losses_B: Tensor) -> list[nn.Parameter]:
        """Collect the gradients of each of `losses_B`; returns the parameters that were left out.

        Those have a use that was not noted, or uses combined in a way the collector cannot take. The rows of the
        recorded pass belong to the samples in order, equally many to each.
        """
        self._num_samples = losses_B.shape[0]
        left_out = self._find_left_out(losses_B)
        self._reduced = {id(p) for p in self._parameters} - {id(p) for p in left_out}
        self._run_backward(losses_B, left_out)
        with torch.no_grad():  # layer inputs hang on the graph of the batch; the sums must not keep it alive
            for parameter_id, gradient_BP in self._vectors.items():
                self._collector.add_vector(parameter_id, gradient_BP)
        return left_out

    def _find_left_out(self, losses_B: Tensor) -> list[nn.Parameter]:
        edges = _edges_by_parameter(losses_B)
        uses_by_id: dict[int, list[Use]] = defaultdict(list)
        for parameter_id, use in (pair for call in self._tape.calls for pair in call.uses):
            uses_by_id[parameter_id].append(use)
        with_leaves = {parameter_id for parameter_id, _ in self._tape.leaves}
        left_out = []
        for p in self._parameters:
            uses = uses_by_id[id(p)]
            if len(uses) != edges[id(p)] or not self._has_known_algebra(id(p), uses, id(p) in with_leaves):
                left_out.append(p)
        return left_out

    def _has_known_algebra(self, parameter_id: int, uses: list[Use], has_leaves: bool) -> bool:
        if all(isinstance(use, VectorUse) for use in uses):
            return True
        is_mixed = has_leaves or any(isinstance(use, VectorUse) for use in uses)
        return not is_mixed and self._collector.accepts(parameter_id, uses)

    def _run_backward(self, losses_B: Tensor, left_out: list[nn.Parameter]) -> None:
        for call in self._tape.calls:
            call.on_delta = self._reduce
        # Asking only for where gradients enter the model skips the weight gradients.
        inputs: list[Any] = [*(leaf for _, leaf in self._tape.leaves), *self._tape.roots, *left_out]
        if not self._reduced or not inputs:
            return
        gradients = torch.autograd.grad(losses_B.sum(), inputs, allow_unused=True)
        for call in self._tape.calls:
            call.on_delta = None  # the graph holds the calls; they must not hold what was made of it
        for (parameter_id, _), gradient in zip(self._tape.leaves, gradients, strict=False):
            if gradient is not None and parameter_id in self._reduced:
                self._add_vector(parameter_id, self._of_samples(gradient.flatten(1)).sum(1))

    def _reduce(self, call: Call, delta: Tensor) -> None:
        if call.x is not None and call.x._version != call.x_version:
            raise ConfigError(
                "the input of a layer was changed in place after the layer had read it, which hides it from the "
                "per-sample gradients; use a model without in-place operations."
            )
        delta_BTO = self._of_samples(delta)
        for parameter_id, use in call.uses:
            if parameter_id not in self._reduced:
                continue
            if isinstance(use, VectorUse):
                self._add_vector(parameter_id, use.gradient(delta_BTO))
            else:
                self._collector.add_use(parameter_id, use.by_sample(self._num_samples), delta_BTO)

    def _of_samples(self, rows: Tensor) -> Tensor:
        return rows.reshape(self._num_samples, -1, rows.shape[-1])

    def _add_vector(self, parameter_id: int, gradient_BP: Tensor) -> None:
        """Uses of one vector add up before any product is taken: its gradients are small enough to wait."""
        collected = self._vectors.get(parameter_id)
        self._vectors[parameter_id] = gradient_BP if collected is None else collected + gradient_BP


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
