"""Learning rates over a training run: a linear warm-up, then the peak or a decay to a share of it."""

import math
from typing import TYPE_CHECKING, Protocol

from delt_exp.config.fields import NonNegativeInt, PositiveShare, Share, settings
from delt_exp.errors import ConfigError

if TYPE_CHECKING:
    import torch


class Schedule(Protocol):
    """Says what share of the peak learning rate each step has; fields are the keys of its YAML file."""

    def check(self, num_steps: int) -> None:
        """Raise ConfigError when the schedule does not fit a training run of `num_steps` steps."""

    def factor(self, step: int, num_steps: int) -> float:
        """Return the factor of the peak learning rate at optimizer step 0 .. num_steps-1."""


@settings
class WarmupConstant:
    """After the warm-up the peak, to the last step.

    Give `warmup_steps` or `warmup_ratio` (share of all steps). Step s of W warm-up steps has the factor (s+1) / (W+1),
    so that no step is lost at a learning rate of 0.
    """

    warmup_steps: NonNegativeInt | None
    warmup_ratio: Share | None

    def __post_init__(self) -> None:
        if (self.warmup_steps is None) == (self.warmup_ratio is None):
            raise ConfigError(
                "give either model.schedule.warmup_steps or model.schedule.warmup_ratio, and null for the other: "
                f"got {self.warmup_steps} and {self.warmup_ratio}"
            )

    def check(self, num_steps: int) -> None:
        self._warmup(num_steps)

    def factor(self, step: int, num_steps: int) -> float:
        warmup = self._warmup(num_steps)
        return (step + 1) / (warmup + 1) if step < warmup else self._after_warmup(step, warmup, num_steps)

    def _after_warmup(self, step: int, warmup: int, num_steps: int) -> float:
        return 1.0

    def _warmup(self, num_steps: int) -> int:
        steps = self.warmup_steps if self.warmup_steps is not None else round((self.warmup_ratio or 0) * num_steps)
        if not 0 <= steps < num_steps:
            raise ConfigError(
                f"model.schedule: {steps} warm-up steps do not fit a training run of {num_steps} steps; "
                "train longer or use model.schedule.warmup_steps=null model.schedule.warmup_ratio=0.1"
            )
        return steps


@settings
class _WarmupDecay(WarmupConstant):
    """After the warm-up a decay over all steps that are left; min_ratio is the factor at the last step."""

    min_ratio: Share

    def _after_warmup(self, step: int, warmup: int, num_steps: int) -> float:
        progress = (step - warmup) / max(num_steps - warmup - 1, 1)
        return self.min_ratio + (1 - self.min_ratio) * self._decay(min(progress, 1.0))

    def _decay(self, progress: float) -> float:
        """Return what is left of the way from the peak to `min_ratio`: 1 at progress 0, 0 at progress 1."""
        raise NotImplementedError


@settings
class WarmupCosine(_WarmupDecay):
    """After the warm-up half a period of a cosine (Loshchilov and Hutter 2017, arXiv 1608.03983).

    Give `warmup_steps` or `warmup_ratio` (share of all steps); min_ratio is the factor at the last step.
    """

    def _decay(self, progress: float) -> float:
        return 0.5 * (1 + math.cos(math.pi * progress))


@settings
class WarmupLinear(_WarmupDecay):
    """After the warm-up a straight line.

    Give `warmup_steps` or `warmup_ratio` (share of all steps); min_ratio is the factor at the last step.
    """

    def _decay(self, progress: float) -> float:
        return 1 - progress


@settings
class WarmupStableDecay(WarmupConstant):
    """After the warm-up the peak, and over the last steps a straight line (WSD, Hu et al. 2024, arXiv 2404.06395).

    Give `warmup_steps` or `warmup_ratio` (share of all steps). The last round(decay_ratio * num_steps) steps go down:
    the step before them still has the peak, the last one `min_ratio` of it. MiniCPM decays exponentially; a line does
    as well (Hägele et al. 2024, arXiv 2405.18392) and ends at the floor that was asked for.
    """

    decay_ratio: PositiveShare
    min_ratio: Share

    def check(self, num_steps: int) -> None:
        warmup, decay = self._warmup(num_steps), self._decay_steps(num_steps)
        if decay == 0 or warmup + decay > num_steps:
            raise ConfigError(
                f"model.schedule: {warmup} warm-up steps and {decay} steps of decay "
                f"(model.schedule.decay_ratio={self.decay_ratio}) do not fit a training run of {num_steps} steps, "
                "which needs at least one step of decay; train longer or change model.schedule.decay_ratio"
            )

    def _after_warmup(self, step: int, warmup: int, num_steps: int) -> float:
        decay = self._decay_steps(num_steps)
        num_left = num_steps - 1 - step  # steps after this one
        return self.min_ratio + (1 - self.min_ratio) * min(num_left / decay, 1.0)

    def _decay_steps(self, num_steps: int) -> int:
        return round(self.decay_ratio * num_steps)


def scheduler(
    optimizer: "torch.optim.Optimizer", schedule: Schedule, num_steps: int
) -> "torch.optim.lr_scheduler.LambdaLR":
    """Return what sets the learning rate of each of `num_steps` steps; asked for one more, it repeats the last."""
    from torch.optim.lr_scheduler import LambdaLR

    return LambdaLR(optimizer, lambda step: schedule.factor(min(step, num_steps - 1), num_steps))
