"""Records how a forward pass uses its trainable parameters.

Module hooks would see the modules, not the uses: a weight that is shared, sliced or multiplied outside its module
would go unseen. The tape listens one level below, to the functions of torch that get the parameter itself; what those
compute is known for any model that calls them. Whatever else touches a parameter goes unnoted, and the reduction finds
it by counting the edges of the graph.

Rows must be told from positions by shape alone, because a layer may see (R, T, I), (R, heads, T, I) or (R T, I). So a
flat input is taken to be ordered by row only where the memory it views proves it, and R and T are kept unequal.

Shapes: R rows of the batch, T positions, I inputs of a layer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.overrides import TorchFunctionMode

from delt_exp.gradients.uses import LookupUse, MatrixUse, Use, VectorUse


def has_row_shape(x: Tensor, num_rows: int, num_positions: int) -> bool:
    """Whether `x` looks like (R, ..., T, ..., I), with the rows first."""
    return x.dim() > 2 and x.shape[0] == num_rows and num_positions in x.shape[1:-1]


@dataclass(eq=False)
class Call:
    """One function call that used parameters: y = function(x, parameters)."""

    x: Tensor | None
    uses: list[tuple[int, Use]]
    on_delta: Callable[["Call", Tensor], None] | None = None
    x_version: int = field(init=False)

    def __post_init__(self) -> None:
        self.x_version = self.x._version if self.x is not None else 0

    def hook(self, delta: Tensor) -> None:
        """Called in the backward pass with the gradient of y."""
        if self.on_delta is not None:
            self.on_delta(self, delta)
        self.x, self.uses = None, []  # autograd frees its reference now, and so do we


class Tape(TorchFunctionMode):
    """While active, notes each call that uses one of `parameters` in a way whose algebra is known.

    A use that is not noted shows as a surplus edge of the autograd graph. `leaves` holds, per parameter id, the copies
    per row that stood in for a parameter; `roots` the outputs from which on every gradient flows.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], shape_RT: torch.Size) -> None:
        super().__init__()
        self._num_rows, self._num_positions = shape_RT
        self.calls: list[Call] = []
        self.leaves: list[tuple[int, Tensor]] = []
        self.roots: list[GradientEdge] = []
        self._ids = {id(p) for p in parameters}
        self._handlers: dict[Any, Callable[..., Tensor]] = {
            F.linear: self._linear,
            torch.addmm: self._addmm,
            F.embedding: self._embedding,
            F.layer_norm: self._layer_norm,
            F.rms_norm: self._rms_norm,
        }

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._handlers.get(func, func)(*args, **kwargs or {})

    def note_leaf(self, parameter: nn.Parameter, leaf: Tensor) -> None:
        """`leaf`, one copy of the parameter per row, stood in for it in one call."""
        self.leaves.append((id(parameter), leaf))

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        y = F.linear(input, weight, bias)
        return self._note_matrix(y, input, weight, bias, is_transposed=False)

    def _addmm(self, input: Tensor, mat1: Tensor, mat2: Tensor, **scaling: Any) -> Tensor:
        y = torch.addmm(input, mat1, mat2, **scaling)
        is_affine = not scaling and input.dim() == 1
        return self._note_matrix(y, mat1, mat2, input, is_transposed=True) if is_affine else y

    def _embedding(
        self,
        input: Tensor,
        weight: Tensor,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Tensor:
        if input.shape in ((self._num_positions,), (1, self._num_positions)):  # position ids, shared by all rows
            input = input.expand(self._num_rows, self._num_positions)
        y = F.embedding(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
        is_plain = max_norm is None and not scale_grad_by_freq
        if is_plain and input.dim() > 1 and input.shape[0] == self._num_rows:
            padding_id = None if padding_idx is None else padding_idx % weight.shape[0]
            self._note(y, input, [(weight, LookupUse(input.flatten(1), padding_id, weight.shape[0]))])
        return y

    def _layer_norm(
        self, input: Tensor, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
    ) -> Tensor:
        y = F.layer_norm(input, normalized_shape, weight, bias, eps)
        self._note_norm(y, input, weight, bias, partial(F.layer_norm, normalized_shape=normalized_shape, eps=eps))
        return y

    def _rms_norm(self, input: Tensor, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Tensor:
        y = F.rms_norm(input, normalized_shape, weight, eps)
        self._note_norm(y, input, weight, None, partial(F.rms_norm, normalized_shape=normalized_shape, eps=eps))
        return y

    def _note_matrix(self, y: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, is_transposed: bool) -> Tensor:
        x_RTI = self._by_row(x)
        if x_RTI is not None:
            shift = [] if bias is None else [(bias, VectorUse(None, bias.shape))]
            # With its history, the input would tie the whole graph to the hooks in it, a cycle nobody can collect.
            self._note(y, x, [(weight, MatrixUse(x_RTI.detach(), is_transposed)), *shift])
        return y

    def _note_norm(self, y: Tensor, x: Tensor, weight: Any, bias: Any, normalise: Callable[[Tensor], Tensor]) -> None:
        if self._by_row(x) is not None:
            scale = [] if weight is None else [(weight, VectorUse(partial(normalise, x.detach()), weight.shape))]
            shift = [] if bias is None else [(bias, VectorUse(None, bias.shape))]
            self._note(y, x, [*scale, *shift])

    def _by_row(self, x: Tensor) -> Tensor | None:
        """`x` as (R, T, I) if it is known to be ordered by row, also after a flattening view; else None."""
        if self._num_rows == 1:
            return x.reshape(1, -1, x.shape[-1])
        whole = x
        if x.dim() == 2 and x._base is not None and x.is_contiguous() and x.storage_offset() == 0:
            whole = x._base
            # Each row must be one block of the memory for x, which reads it from end to end, to be in their order.
            if whole.numel() != x.numel() or whole.stride(0) * self._num_rows != whole.numel():
                return None
        is_by_row = has_row_shape(whole, self._num_rows, self._num_positions)
        return x.reshape(self._num_rows, -1, x.shape[-1]) if is_by_row else None

    def _note(self, y: Tensor, x: Tensor, uses: Sequence[tuple[Tensor, Use]]) -> None:
        known = [(id(p), use) for p, use in uses if id(p) in self._ids]
        if not known or not y.requires_grad:
            return
        if not x.requires_grad:  # nothing before this layer needs a gradient: the backward pass may end here
            self.roots.append(get_gradient_edge(y))
        call = Call(x.detach(), known)
        self.calls.append(call)
        y.register_hook(call.hook)
