"""What an annotation can be told; imports no torch, so that settings are checked at once."""

from dataclasses import dataclass

from delt_exp.config.checks import check_choice, check_integer, check_number

SCORES = ("lqs", "pds", "learnability", "quality")
PRECISIONS = ("fp32", "bf16")
ANNOTATED = "annotated"  # the table of evidence with each document under all scores


@dataclass(frozen=True)
class AnnotationSettings:
    """lr: of the plain gradient descent. interval: every how many updates documents are scored.

    init_norm: by what the first scored step divides, the gradient norms after the last update ("terminal", the paper)
    or 1 ("one", the published code). gradient_samples, hvp_samples: samples per pass of one process. precision: "fp32"
    or "bf16", of the forward pass; sums are float32 either way.
    """

    lr: float
    interval: int
    init_norm: str
    gradient_samples: int
    hvp_samples: int
    precision: str

    @property
    def cure(self) -> str:
        """What helps a run that diverges."""
        return f"lower scorer.base.lr ({self.lr:g})"

    def __post_init__(self) -> None:
        check_number("lr", self.lr, "(0, inf)")
        check_integer("interval", self.interval, at_least=1)
        check_choice("init_norm", self.init_norm, ("terminal", "one"))
        check_integer("gradient_samples", self.gradient_samples, at_least=1)
        check_integer("hvp_samples", self.hvp_samples, at_least=1)
        check_choice("precision", self.precision, PRECISIONS)
