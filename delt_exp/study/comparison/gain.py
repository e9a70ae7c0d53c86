"""What an arm gains over the baseline, for the axis of a picture."""

from delt_exp.quantity import Ranged
from delt_exp.study.comparison.arms import Arm, Panel
from delt_exp.study.comparison.outcomes import compare_paired


def gain(panel: Panel, arm: Arm, alpha: float) -> Ranged:
    """Return the paired difference from the baseline with its interval, or the outcome without a baseline."""
    if panel.baseline is None:
        return Ranged(arm.outcome.estimate.value, *arm.outcome.estimate.interval(alpha))
    pair = None if arm is panel.baseline else compare_paired(arm.outcome, panel.baseline.outcome, alpha)
    if pair is None:  # the baseline itself, or no seed in common with it
        value = arm.outcome.estimate.value - panel.baseline.outcome.estimate.value
        return Ranged(value, value, value)
    return Ranged(pair.estimate.value, *pair.interval)
