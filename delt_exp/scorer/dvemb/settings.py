"""What a valuation can be told; imports no torch, so that settings are checked at once."""

from dataclasses import dataclass

from delt_exp.config.checks import check_choice, check_integer

CURVATURES = ("hessian", "gauss_newton", "fisher", "none")
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class ValueSettings:
    """curvature: what stands for the Hessian of an update's loss.

    cure: what helps a run whose numbers grow, for messages. gradient_samples, hvp_samples: samples per pass of one
    process. precision: "fp32" or "bf16", of the forward pass; sums are float32 either way.
    """

    curvature: str
    cure: str
    gradient_samples: int
    hvp_samples: int
    precision: str

    def __post_init__(self) -> None:
        check_choice("scorer.curvature", self.curvature, CURVATURES)
        check_choice("scorer.precision", self.precision, PRECISIONS)
        check_integer("gradient_samples", self.gradient_samples, at_least=1)
        check_integer("hvp_samples", self.hvp_samples, at_least=1)
