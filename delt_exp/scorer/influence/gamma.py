"""Gamma: the step that training would take from a document's gradient. Imports no torch, for settings to be checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from delt_exp.errors import ConfigError
from delt_exp.model.optimizer import AdamW, Optimizer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from delt_exp.gradients.mapped import Transform

Form = Literal["adam", "official", "sgd"]
EPS = 1e-8  # of the released code, inside its root
Moments = Mapping[str, tuple["Tensor", "Tensor"]]


@dataclass(frozen=True)
class Gamma:
    """form: `adam` is the step that torch.optim.Adam would take next, `official` that of LESS's released code, `sgd`
    the gradient. has_momentum: false takes the step without a gradient off, which is the same for every document.
    """

    form: Form
    has_momentum: bool
    beta1: float
    beta2: float
    eps: float

    @classmethod
    def of(cls, form: Form, has_momentum: bool, optimizer: Optimizer) -> "Gamma":
        """Return what `form` means after training with `optimizer`; raises ConfigError for Adam's step without Adam."""
        if form != "sgd" and not isinstance(optimizer, AdamW):
            raise ConfigError(
                f"scorer.gamma={form} needs the moments of Adam, which {type(optimizer).__name__} does not have; use "
                "optimizer@scorer.warm_up.optimizer=adamw, or scorer.gamma=sgd"
            )
        if form == "adam" and isinstance(optimizer, AdamW):
            return cls(form, has_momentum, optimizer.betas[0], optimizer.betas[1], optimizer.eps)
        return cls(form, has_momentum, 0.9, 0.999, EPS)  # `official` has these whatever the training run had

    def transform(self, moments: Moments, step: int) -> "Transform | None":
        """Return the map from a gradient to Gamma after `step` updates; None where it is the gradient."""
        from delt_exp.gradients.mapped import AdamStep

        if self.form == "sgd":
            return None
        adam = AdamStep(moments, step, self.form, self.beta1, self.beta2, self.eps)
        return adam if self.has_momentum else _WithoutMomentum(adam)


class _WithoutMomentum:
    """What a gradient adds to a step: f(g) - f(0)."""

    def __init__(self, step: "Transform") -> None:
        self._step, self._at_zero = step, dict[str, "Tensor"]()

    def __call__(self, name: str, gradient: "Tensor") -> "Tensor":
        if name not in self._at_zero:
            self._at_zero[name] = self._step(name, gradient.new_zeros(1, *gradient.shape[1:]))
        return self._step(name, gradient).sub_(self._at_zero[name])


def check_state(parameters: Mapping[str, "nn.Parameter"], moments: Moments, step: int, gamma: Gamma) -> None:
    """Raise ConfigError where documents cannot be judged at this state; parameters: the trainable ones.

    Adapters whose second factor is still 0 give their first factor no gradient. Adam's step needs moments of just these
    parameters, and some second moment that is not 0.
    """
    place = f"the checkpoint of step {step}"
    second_factors = [p for name, p in parameters.items() if ".lora_B." in name]
    if second_factors and not any(bool(p.any()) for p in second_factors):
        raise ConfigError(
            f"{place}: all second factors of its adapters are 0, so that the first have no gradient; score after the "
            "warm-up: raise scorer.warm_up.optimizer.lr or scorer.warm_up.share"
        )
    if gamma.form == "sgd":
        return
    cure = "warm up again, or use scorer.gamma=sgd, which needs no moments"
    if not moments:
        raise ConfigError(f"{place} has no optimizer state, which scorer.gamma={gamma.form} needs; {cure}")
    for name in [*parameters, *moments]:
        if name not in moments or name not in parameters:
            side = "the optimizer state lacks" if name not in moments else "the model does not train"
            raise ConfigError(f"{place}: {side} {name}, so that they are not of one training run; {cure}")
        for moment in moments[name]:
            if moment.shape != parameters[name].shape:
                shapes = f"{list(moment.shape)}, the parameter {list(parameters[name].shape)}"
                raise ConfigError(f"{place}: the optimizer state of {name} has the shape {shapes}; {cure}")
    if step < 1 or not any(bool(v.any()) for _, v in moments.values()):
        raise ConfigError(f"{place} has an untrained optimizer state: no update, or all second moments are 0; {cure}")


def share_below_floor(moments: Moments) -> float:
    """Return the share of coordinates with a second moment below EPS, where `official` is momentum and not Adam."""
    counts = [(int((v < EPS).sum()), v.numel()) for _, v in moments.values()]
    return sum(below for below, _ in counts) / max(1, sum(total for _, total in counts))
