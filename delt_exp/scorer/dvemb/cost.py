"""What a valuation will cost, before anything runs."""

from dataclasses import dataclass

from delt_exp.model.cost import FORWARD_BACKWARD, ModelSize, PhaseCost
from delt_exp.scorer.dvemb.settings import Curvature
from delt_exp.scorer.reverse.counts import StateCounts

DOTS = 6  # per parameter and token: forward and activation gradients 4, products with the direction 2
# Per group of the target. Hessian: forward 2, gradient along the activations 2, and their derivatives. Gauss-Newton:
# forward with tangents 4, backward 4. Fisher: a gradient with weights.
CURVATURE_COST: dict[Curvature, int] = {"hessian": 16, "gauss_newton": 8, "fisher": FORWARD_BACKWARD, "none": 0}


@dataclass(frozen=True)
class Workload:
    """The sizes that decide the cost. num_passes: documents in all updates. gradient_samples: per micro-batch."""

    curvature: Curvature
    num_steps: int
    num_passes: int
    num_target: int
    num_groups: int
    gradient_samples: int
    sample_tokens: int
    is_whole: bool


def forecast(work: Workload, size: ModelSize) -> list[PhaseCost]:
    """Cost by phase: forward, replay, target, values and curvature; a document counts with all of `sample_tokens`.

    Memory counts the parameters, the vectors of their size each phase holds, the trajectory and the activations.
    """
    states = StateCounts(work.num_steps, work.is_whole)
    replayed = round(work.num_passes * states.num_replayed / work.num_steps)
    groups, curvature = work.num_groups, CURVATURE_COST[work.curvature]

    def cost(phase: str, passes: int, operations: int, vectors: int, activations: float = 1) -> PhaseCost:
        flops = float(passes) * work.sample_tokens * size.parameters * operations
        held = work.gradient_samples * work.sample_tokens * size.activation_bytes_per_token * activations
        return PhaseCost(
            f"values: {phase}", passes, flops, (states.num_held + vectors) * size.parameter_bytes + int(held)
        )

    return [
        cost("forward", work.num_passes, FORWARD_BACKWARD, 3),
        cost("replay", replayed, FORWARD_BACKWARD, 3 + groups),
        cost("target", work.num_target, FORWARD_BACKWARD, 2 + groups),
        # each further group is one more product with the gradients
        cost("products", work.num_passes, DOTS + 2 * (groups - 1), 1 + groups),
        # a quarter of the samples in a pass, whose second derivatives take four times the memory
        cost("curvature", work.num_passes * groups if curvature else 0, curvature, 3 + 2 * groups),
    ]
