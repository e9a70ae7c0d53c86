"""The settings of weights that are learnt while the network trains."""

from delt_exp.config.fields import (
    Count,
    HalfOpenShare,
    NonNegativeFloat,
    PositiveFloat,
    Seed,
    Several,
    Share,
    settings,
)  # fmt: skip


@settings
class DwmSettings:
    """See `DwmWeighter`."""

    num_stages: Several
    weighting_steps: Share
    validation_documents: Count
    lr: PositiveFloat
    temperature: PositiveFloat
    floor: HalfOpenShare
    entropy_weight: NonNegativeFloat
    width: Count
    seed: Seed

    def is_weighting_step(self, step: int, num_steps: int) -> bool:
        """Whether f learns after step 0 .. num_steps-1: the first of every stage but the first."""
        stage = step * self.num_stages // num_steps
        first, end = (-(-number * num_steps // self.num_stages) for number in (stage, stage + 1))
        return stage > 0 and step - first < self.weighting_steps * (end - first)
