"""What a reader sees of weights that changed during training: how unequal they were, and what they went with.

I items of a plan, S steps, B sequences of a step.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from delt_exp.statistics.smoothing import smooth
from delt_exp.store.evidence import Evidence, Figure
from delt_exp.trainer.plan import Ints, Plan

Floats = NDArray[np.float64]


def show_weights(evidence: Evidence, plan: Plan, stage_S: Ints, weights_I: Floats, losses_I: Floats) -> None:
    """Leave effective sample size and entropy of every step, and what weights of each stage went with.

    losses_I: of each sequence per label, just before it was trained.
    """
    starts = np.arange(0, plan.num_items, plan.batch_items)
    sizes_S = np.diff(starts, append=plan.num_items)
    shares_I = weights_I / np.repeat(sizes_S, sizes_S)
    effective_S = 1 / np.add.reduceat(np.square(shares_I), starts)
    surprise_I = -shares_I * np.log(np.where(shares_I > 0, shares_I, 1))
    entropy_S = np.add.reduceat(surprise_I, starts)
    columns = {
        "step": np.arange(1, plan.num_steps + 1),
        "stage": stage_S,
        "sequences": sizes_S,
        "effective_sample_size": effective_S,
        "entropy": entropy_S,
        "effective_share": effective_S / sizes_S,
        "smoothed": smooth(effective_S / sizes_S),
    }
    caption = (
        "The weights of each step: effective sample size 1 / Σ w², and entropy -Σ w ln w [nats], of weights w that add "
        "up to 1; and the share of the batch that counts in effect."
    )
    evidence.table("weights", columns, caption)
    y = ("effective_share", "smoothed")
    figure = Figure("Weights of sequences", "weights", "line", "step", y, "step", "effective share of the batch")
    caption = (
        "The share of its batch that a step effectively learnt from: 1 if all sequences have equal weight, one over "
        "their number if a single one has all the weight."
    )
    evidence.figure("weights", figure, caption)
    start, stop = plan.bounds(np.arange(plan.num_items))
    per_step = effective_S / sizes_S, entropy_S
    _show_stages(evidence, stage_S, sizes_S, (weights_I, losses_I, stop - start), per_step)


def _show_stages(
    evidence: Evidence, stage_S: Ints, sizes_S: Ints, values: Sequence[NDArray[np.generic]], per_step: Sequence[Floats]
) -> None:
    step_I, stage_I = (np.repeat(of_step_S, sizes_S) for of_step_S in (np.arange(len(sizes_S)), stage_S))
    weights_I, losses_I, lengths_I = (_about_mean(np.asarray(v, np.float64), step_I) for v in values)
    rows = []
    for stage in np.unique(stage_I):
        of_stage = stage_I == stage
        with_loss, with_length = (_correlation(weights_I[of_stage], v[of_stage]) for v in (losses_I, lengths_I))
        share, entropy = (of_step_S[stage_S == stage].mean() for of_step_S in per_step)
        rows.append((stage, (stage_S == stage).sum(), share, entropy, with_loss, with_length))
    names = ("stage", "steps", "effective_share", "entropy", "correlation_with_loss", "correlation_with_length")
    evidence.table(
        "weights_by_stage",
        dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True)),
        "Means over the steps of a stage: the share of the batch that counts in effect, and the entropy of its "
        "weights [nats]. And the correlation of weights with loss and length of the sequences inside their batches; "
        "none where all weights are equal.",
    )
    if np.ptp(values[0]) > 0:
        figure = Figure(
            "What the weights correlate with", "weights_by_stage", "bars", "stage", names[4:], "stage", "correlation"
        )
        caption = (
            "Above 0, sequences with a higher loss (or longer ones) weighed more than others of their batch; below 0, "
            "less."
        )
        evidence.figure("weights_by_stage", figure, caption)


def _about_mean(values_I: Floats, step_I: Ints) -> Floats:
    means = np.bincount(step_I, values_I) / np.bincount(step_I)
    return values_I - means[step_I]


def _correlation(one: Floats, other: Floats) -> float:
    norm = np.linalg.norm(one) * np.linalg.norm(other)
    return float(one @ other / norm) if norm > 1e-12 else float("nan")
