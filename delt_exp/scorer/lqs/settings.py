"""What an annotation can be told; imports no torch, so that settings are checked at once."""

from typing import Literal, get_args

from delt_exp.config.fields import Count, PositiveFloat, settings
from delt_exp.gradients.precision import Precision

ScoreName = Literal["lqs", "pds", "learnability", "quality"]
SCORES = get_args(ScoreName)
InitNorm = Literal["terminal", "one"]
ANNOTATED = "annotated"  # the table of evidence with each document under all scores


@settings
class AnnotationSettings:
    """lr: of the plain gradient descent. interval: every how many updates documents are scored.

    init_norm: by what the first scored step divides, the gradient norms after the last update ("terminal", the paper)
    or 1 ("one", the published code). gradient_samples, hvp_samples: samples per pass of one process. precision: "fp32"
    or "bf16", of the forward pass; sums are float32 either way.
    """

    lr: PositiveFloat
    interval: Count
    init_norm: InitNorm
    gradient_samples: Count
    hvp_samples: Count
    precision: Precision

    @property
    def cure(self) -> str:
        """What helps a run that diverges."""
        return f"lower scorer.lr ({self.lr:g})"
