"""Linear warm-up, then a cosine down to a share of the peak."""

import math
from dataclasses import dataclass

from delt_exp.errors import ConfigError


@dataclass(frozen=True)
class WarmupCosine:
    """Factor of the peak learning rate at each step.

    Give `warmup_steps` or `warmup_ratio` (share of all steps); min_ratio is the factor at the end.
    """

    warmup_steps: int | None
    warmup_ratio: float | None
    min_ratio: float

    def __post_init__(self) -> None:
        if (self.warmup_steps is None) == (self.warmup_ratio is None):
            raise ConfigError(
                "give model.schedule.warmup_steps or model.schedule.warmup_ratio, not both: "
                f"got {self.warmup_steps} and {self.warmup_ratio}"
            )
        for name, ratio in (("warmup_ratio", self.warmup_ratio), ("min_ratio", self.min_ratio)):
            if ratio is not None and not 0 <= ratio <= 1:
                raise ConfigError(f"model.schedule.{name} must be in [0, 1], got {ratio}")

    def warmup(self, num_steps: int) -> int:
        """Return the number of warm-up steps; raises ConfigError when they leave no step to train."""
        steps = self.warmup_steps if self.warmup_steps is not None else round((self.warmup_ratio or 0) * num_steps)
        if not 0 <= steps < num_steps:
            raise ConfigError(
                f"model.schedule: {steps} warm-up steps do not fit a training of {num_steps} steps; "
                "train longer or use model.schedule.warmup_steps=null model.schedule.warmup_ratio=0.1"
            )
        return steps

    def factor(self, step: int, num_steps: int) -> float:
        """Return the factor at optimizer step 0 .. num_steps-1: (step+1)/(W+1) while warming up, then the cosine."""
        warmup = self.warmup(num_steps)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = (step - warmup) / max(num_steps - warmup - 1, 1)
        return self.min_ratio + (1 - self.min_ratio) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
