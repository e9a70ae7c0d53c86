"""A small language model run and the scalar run of known values, for the tests of Data Value Embedding."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from delt_exp.corpus.tokens import IGNORED
from delt_exp.scorer.dvemb.settings import ValueSettings
from delt_exp.scorer.dvemb.update import NOBODY, Update
from delt_exp.scorer.reverse.samples import Sample
from tests.scorer.lqs.tiny import draw_samples


def settings(curvature: str = "hessian", **changes: Any) -> ValueSettings:
    values = {"cure": "lower the rate", "gradient_samples": 4, "hvp_samples": 2, "precision": "fp32"}
    return ValueSettings(curvature, **values | changes)


def update(samples: Sequence[Sample], rows: Sequence[int]) -> Update:
    """An update on whole documents, each of which counts the same."""
    weights_B = torch.full((len(samples),), 1 / len(samples), dtype=torch.float64)
    occurrence_BT = [torch.where(s.labels_T != IGNORED, n, NOBODY) for n, s in enumerate(samples)]
    return Update(samples, weights_B, occurrence_BT, np.array(rows))


def tiny_updates(num_steps: int = 7) -> list[Update]:
    """Five samples of uneven lengths in each."""
    return [update(draw_samples(5, seed=100 + step), range(5 * step, 5 * step + 5)) for step in range(num_steps)]


def tiny_target() -> list[list[Sample]]:
    """Two groups of different sizes."""
    samples = draw_samples(6, seed=1)
    return [samples[:4], samples[4:]]


class ScalarRun:
    """One document a step with the loss (theta - a)^2 / 2; target loss (theta - b)^2 / 2; theta_0 = 0."""

    def __init__(self, a_T: Sequence[float], target_b: float, curvature: str, hessian: float = 1.0) -> None:
        self.num_steps, self._a_T, self._b, self._curvature, self._h = len(a_T), a_T, target_b, curvature, hessian
        self.updates = [Update([], torch.ones(0), [], np.array([t])) for t in range(len(a_T))]
        self._theta = torch.zeros(1, dtype=torch.float64)

    @property
    def theta(self) -> Tensor:
        return self._theta.clone()

    @theta.setter
    def theta(self, value: Tensor) -> None:
        self._theta.copy_(value)

    def step_gradient(self, step: int) -> tuple[float, Tensor]:
        return (self.theta - self._a_T[step]).square().item() / 2, self.theta - self._a_T[step]

    def target_gradients(self) -> tuple[list[float], Tensor]:
        return [(self.theta - self._b).square().item() / 2], (self.theta - self._b)[None]

    def dots(self, step: int, direction_GP: Tensor) -> Tensor:
        return (self.theta - self._a_T[step]) * direction_GP

    def curvature(self, step: int, direction_GP: Tensor, dot_NG: Tensor) -> Tensor:
        if self._curvature == "fisher":
            return dot_NG * (self.theta - self._a_T[step])
        return self._h * direction_GP if self._curvature == "hessian" else torch.zeros_like(direction_GP)

    def fingerprint(self) -> str:
        return "scalar"
