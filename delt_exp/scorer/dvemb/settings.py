"""What a valuation can be told; imports no torch, so that settings are checked at once."""

from typing import Literal, get_args

from delt_exp.config.fields import Count, settings
from delt_exp.gradients.precision import Precision

Curvature = Literal["hessian", "gauss_newton", "fisher", "none"]
CURVATURES = get_args(Curvature)
Adam = Literal["refuse", "exact", "fixed"]
Groups = Literal["source", "one"]
STAGE = "value embeddings"  # of the store


@settings
class ValueSettings:
    """curvature: what stands for the Hessian of an update's loss.

    cure: what helps a run whose numbers grow, for messages. gradient_samples, hvp_samples: samples per pass of one
    process. precision: "fp32" or "bf16", of the forward pass; sums are float32 either way.
    """

    curvature: Curvature
    cure: str
    gradient_samples: Count
    hvp_samples: Count
    precision: Precision
