"""What an annotation will cost, before anything runs."""

import math
from dataclasses import dataclass

_FORWARD_BACKWARD = 6  # floating point operations per parameter and token
_PROXY_TERMS = 6  # forward and activation gradients 4, products with the direction 2
_HVP = 16  # forward 2, gradient along the activations 2, and their derivatives


@dataclass(frozen=True)
class PhaseCost:
    """passes: samples sent forward and backward; flops: of them all; bytes: of vectors and activations at the peak."""

    passes: int
    flops: float
    bytes: int


@dataclass(frozen=True)
class Workload:
    """The sizes that decide the cost; `activation_bytes_per_token` is what one forward pass keeps for its backward.

    n_params: trainable parameters that take part in matrix products. gradient_samples, hvp_samples: per micro-batch.
    """

    n_steps: int
    interval: int
    n_proxies: int
    n_target: int
    train_batch_samples: int
    gradient_samples: int
    hvp_samples: int
    sample_tokens: int
    n_params: int
    activation_bytes_per_token: int
    is_whole: bool
    needs_terminal_norms: bool


def forecast(work: Workload, bytes_per_number: int = 4) -> dict[str, PhaseCost]:
    """Cost by phase: "forward", "replay", "target", "hvp", "proxies"; "total" sums work and takes the largest memory.

    Memory counts the parameters, the vectors of their size each phase holds, the trajectory and the activations.
    """
    stride = math.isqrt(work.n_steps)
    segments = math.ceil(work.n_steps / stride)
    states = work.n_steps if work.is_whole else segments + stride
    scored = math.ceil(work.n_steps / work.interval) + work.needs_terminal_norms
    samples = work.n_steps * work.train_batch_samples
    replayed = 0 if work.is_whole else (work.n_steps - segments) * work.train_batch_samples
    vector, kept = work.n_params * bytes_per_number, states * work.n_params * bytes_per_number

    def cost(passes: int, operations: int, vectors: int, batch: int, activations: float) -> PhaseCost:
        flops = float(passes) * work.sample_tokens * work.n_params * operations
        held = batch * work.sample_tokens * work.activation_bytes_per_token * activations
        return PhaseCost(passes, flops, kept + vectors * vector + int(held))

    phases = {
        # parameters, theta before the update, gradient; and lambda later
        "forward": cost(samples, _FORWARD_BACKWARD, 3, work.gradient_samples, 1),
        "replay": cost(replayed, _FORWARD_BACKWARD, 4, work.gradient_samples, 1),
        "target": cost(work.n_target * work.n_steps, _FORWARD_BACKWARD, 3, work.gradient_samples, 1),
        # parameters, lambda, target gradient, product, and the second derivatives before they are added
        "hvp": cost((work.n_steps - 1) * work.train_batch_samples, _HVP, 5, work.hvp_samples, 4),
        "proxies": cost(scored * work.n_proxies, _PROXY_TERMS, 2, work.gradient_samples, 1),
    }
    every = phases.values()
    total = PhaseCost(sum(p.passes for p in every), sum(p.flops for p in every), max(p.bytes for p in every))
    return {**phases, "total": total}


def activation_bytes_per_token(
    hidden: int, intermediate: int, layers: int, heads: int, vocab: int, sample_tokens: int, bytes_per_number: int = 4
) -> int:
    """About what a Llama-like model with unfused attention keeps per token: 16 d + 4 d_ff + 2 heads T a layer, 3 V."""
    per_layer = 16 * hidden + 4 * intermediate + 2 * heads * sample_tokens
    return (layers * per_layer + 3 * vocab) * bytes_per_number
