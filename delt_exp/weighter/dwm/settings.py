"""The settings of weights that are learnt while the network trains."""

from dataclasses import dataclass

from delt_exp.config.checks import check_integer, check_number


@dataclass(frozen=True)
class DwmSettings:
    """See `DwmWeighter`."""

    num_stages: int
    weighting_steps: float
    validation_documents: int
    lr: float
    temperature: float
    floor: float
    entropy_weight: float
    width: int
    seed: int

    def __post_init__(self) -> None:
        check_integer("weighter.num_stages", self.num_stages, at_least=2)
        check_number("weighter.weighting_steps", self.weighting_steps, "[0, 1]")
        check_integer("weighter.validation_documents", self.validation_documents, at_least=1)
        check_number("weighter.lr", self.lr, "(0, inf)")
        check_number("weighter.temperature", self.temperature, "(0, inf)")
        check_number("weighter.floor", self.floor, "[0, 1)")
        check_number("weighter.entropy_weight", self.entropy_weight, "[0, inf)")
        check_integer("weighter.width", self.width, at_least=1)
        check_integer("weighter.seed", self.seed, at_least=0)

    def is_weighting_step(self, step: int, num_steps: int) -> bool:
        """Whether f learns after step 0 .. num_steps-1: the first of every stage but the first."""
        stage = step * self.num_stages // num_steps
        first, end = (-(-number * num_steps // self.num_stages) for number in (stage, stage + 1))
        return stage > 0 and step - first < self.weighting_steps * (end - first)
