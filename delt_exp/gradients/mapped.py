"""A map of each sample's gradient before it is reduced, such as the step that an optimizer would take from it.

Such a map is not linear, so that nothing of f(G) follows from the factors of G: the gradient of each parameter is
built, mapped and handed on, one chunk of samples at a time. For the thin layers of LoRA that is one or two percent of
the pass. An elementwise factor needs no map: `<D * g, v> = <g, D * v>`, so pass `D * v` as the direction and save it.

Shapes: B samples, T positions, O outputs of a layer, P elements of a parameter, c samples of a chunk.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import torch
from torch import Tensor, nn

from delt_exp.errors import ConfigError
from delt_exp.gradients.reduction import BuiltCollector
from delt_exp.gradients.uses import FactoredUse, Use, chunks

Transform = Callable[[str, Tensor], Tensor]
"""From the name of a parameter and its gradients, (c, *parameter.shape), to tensors of the same shape. It works element
by element or parameter by parameter; each sample must be mapped alone."""


class Mapped:
    """Hands f(g_n) to another collector instead of g_n.

    A tied weight is mapped as one: what came first, the head's delta of the size of the logits, waits for the lookup at
    the other end of the backward pass.
    """

    def __init__(
        self, collector: BuiltCollector, transform: Transform, parameters: Mapping[str, nn.Parameter], losses_B: Tensor
    ) -> None:
        self._collector, self._transform = collector, transform
        self._losses_B = losses_B.detach()
        self._named = {id(p): (name, p) for name, p in parameters.items()}
        self._untouched = set(self._named)
        self._num_uses: dict[int, int] = {}
        self._waiting: dict[int, list[tuple[FactoredUse, Tensor]]] = defaultdict(list)

    def accepts(self, parameter_id: int, uses: Sequence[Use]) -> bool:
        """Built gradients add up whatever the uses are."""
        self._num_uses[parameter_id] = len(uses)
        return True

    def add_use(self, parameter_id: int, use: FactoredUse, delta_BTO: Tensor) -> None:
        self._waiting[parameter_id].append((use, delta_BTO))
        if len(self._waiting[parameter_id]) < self._num_uses[parameter_id]:
            return
        parts = self._waiting.pop(parameter_id)
        for chunk in chunks(delta_BTO, self._named[parameter_id][1].numel()):
            self.add_built(parameter_id, chunk, reduce(torch.add, (u.build(delta, chunk) for u, delta in parts)))

    def add_vector(self, parameter_id: int, gradient_BP: Tensor) -> None:
        self._collector.add_vector(parameter_id, self._map(parameter_id, gradient_BP))

    def add_built(self, parameter_id: int, chunk: slice, gradient_cP: Tensor) -> None:
        self._collector.add_built(parameter_id, chunk, self._map(parameter_id, gradient_cP))

    def finish(self) -> None:
        """A parameter that no sample used has a gradient of 0, of which f makes something: momentum goes on."""
        for parameter_id in [i for i in self._named if i in self._untouched]:
            parameter = self._named[parameter_id][1]
            for chunk in chunks(self._losses_B, parameter.numel()):
                self.add_built(parameter_id, chunk, parameter.new_zeros(len(self._losses_B[chunk]), parameter.numel()))
        self._collector.finish()

    def _map(self, parameter_id: int, gradient_cP: Tensor) -> Tensor:
        name, parameter = self._named[parameter_id]
        self._untouched.discard(parameter_id)
        mapped = self._transform(name, gradient_cP.view(-1, *parameter.shape))
        return mapped.reshape(gradient_cP.shape)


@dataclass(frozen=True, eq=False)
class AdamStep:
    """The step that Adam would take from a sample's gradient, without the learning rate and with its sign.

    With the state (m, v) after `step` updates, m' = beta1 m + (1 - beta1) g and v' = beta2 v + (1 - beta2) g^2:
    `adam` is m' / (1 - beta1^(step+1)) over sqrt(v' / (1 - beta2^(step+1))) + eps, to rounding what torch.optim.Adam
    does next. `official` is m' / sqrt(v' + eps), as in the code of LESS (Xia et al. 2024, arXiv 2402.04333). Its eps
    puts a floor of 1e-4 under every denominator, so that for v far below 1e-8 it is momentum, not Adam.

    Raises ConfigError for a parameter without state or of another shape, an unknown form, or a step below 1.
    """

    moments: Mapping[str, tuple[Tensor, Tensor]]  # m and v by parameter name
    step: int
    form: Literal["adam", "official"] = "adam"
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        if self.form not in ("adam", "official"):
            raise ConfigError(f"form of the Adam step is {self.form!r}; allowed are 'adam' and 'official'")
        if self.step < 1:
            raise ConfigError(f"the Adam state is of step {self.step}; only after a step is there a state to use")

    def __call__(self, name: str, gradient: Tensor) -> Tensor:
        m, v = self._state(name, gradient)
        m_next = torch.add(self.beta1 * m, gradient, alpha=1 - self.beta1)
        v_next = torch.addcmul(self.beta2 * v, gradient, gradient, value=1 - self.beta2)
        if self.form == "official":
            return m_next.div_(v_next.add_(self.eps).sqrt_())
        correction1, correction2 = (1 - beta ** (self.step + 1) for beta in (self.beta1, self.beta2))
        return m_next.div_(v_next.div_(correction2).sqrt_().add_(self.eps)).div_(correction1)

    def _state(self, name: str, gradient: Tensor) -> tuple[Tensor, Tensor]:
        if name not in self.moments:
            known = ", ".join(list(self.moments)[:3]) or "none"
            raise ConfigError(f"no Adam state for parameter {name}; there is state for {known} ...")
        m, v = self.moments[name]
        if not m.shape == v.shape == gradient.shape[1:]:
            shapes = f"{list(m.shape)} and {list(v.shape)}"
            raise ConfigError(f"Adam state of {name} has shapes {shapes}, the parameter {list(gradient.shape[1:])}")
        return m.to(gradient), v.to(gradient)
