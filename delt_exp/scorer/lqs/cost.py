"""What an annotation will cost, before anything runs."""

import math
from dataclasses import dataclass

from delt_exp.model.cost import FORWARD_BACKWARD, ModelSize, PhaseCost
from delt_exp.scorer.reverse.counts import StateCounts

DOCUMENT_TERMS = 6  # per parameter and token: forward and activation gradients 4, products with the direction 2
HVP = 16  # forward 2, gradient along the activations 2, and their derivatives


@dataclass(frozen=True)
class Workload:
    """The sizes that decide the cost. gradient_samples, hvp_samples: per micro-batch. sample_tokens: at most."""

    num_steps: int
    interval: int
    num_documents: int
    num_target: int
    train_batch_samples: int
    gradient_samples: int
    hvp_samples: int
    sample_tokens: int
    is_whole: bool
    needs_terminal_norms: bool


def forecast(work: Workload, size: ModelSize) -> list[PhaseCost]:
    """Cost by phase: forward, replay, target, HVP and documents.

    Memory counts the parameters, the vectors of their size each phase holds, the trajectory and the activations.
    """
    states = StateCounts(work.num_steps, work.is_whole)
    scored = math.ceil(work.num_steps / work.interval) + work.needs_terminal_norms
    samples = work.num_steps * work.train_batch_samples
    replayed = states.num_replayed * work.train_batch_samples

    def cost(phase: str, passes: int, operations: int, vectors: int, batch: int, activations: float) -> PhaseCost:
        flops = float(passes) * work.sample_tokens * size.parameters * operations
        held = batch * work.sample_tokens * size.activation_bytes_per_token * activations
        return PhaseCost(phase, passes, flops, (states.num_held + vectors) * size.parameter_bytes + int(held))

    return [
        # parameters, theta before the update, gradient; and lambda later
        cost("annotation: forward", samples, FORWARD_BACKWARD, 3, work.gradient_samples, 1),
        cost("annotation: replay", replayed, FORWARD_BACKWARD, 4, work.gradient_samples, 1),
        cost("annotation: target", work.num_target * work.num_steps, FORWARD_BACKWARD, 3, work.gradient_samples, 1),
        # parameters, lambda, target gradient, product, and the second derivatives before they are added
        cost("annotation: HVP", (work.num_steps - 1) * work.train_batch_samples, HVP, 5, work.hvp_samples, 4),
        cost("annotation: documents", scored * work.num_documents, DOCUMENT_TERMS, 2, work.gradient_samples, 1),
    ]
