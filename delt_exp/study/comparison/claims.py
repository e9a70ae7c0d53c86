"""What a study claims of an arm, in sentences: that it gains, and that it earns its cost."""

from collections.abc import Sequence
from dataclasses import dataclass

from delt_exp.report.columns import in_words
from delt_exp.report.numbers import listed
from delt_exp.statistics.families import Comparison
from delt_exp.study.comparison.arms import Arm, Panel


@dataclass(frozen=True)
class Claim:
    """That an arm beats the baseline and its controls. even: controls that it does not beat; unfinished: others."""

    arm: Arm
    pair: Comparison
    controls: Sequence[str]
    even: Sequence[str]
    unfinished: Sequence[str]

    @property
    def is_shown(self) -> bool:
        """Whether it is better than the baseline and than each of its controls."""
        return self.pair.is_better and not self.even and not self.unfinished


def gain_sentence(claim: Claim) -> str:
    """Say whether the claim holds."""
    best, pair = claim.arm, claim.pair
    numbers = in_words(pair)
    seeds = (
        "" if pair.estimate.over != "documents" else " Only one seed is common, so this holds for these models only."
    )
    if pair.is_clear and pair.estimate.few_documents:
        seeds += " There are few evaluation documents, and their lengths alone can make such a difference: use more."
    if pair.verdict.startswith("worse"):
        return f"No: the best such arm, {best.name}, is worse than {pair.second} ({numbers}).{seeds}"
    if not pair.is_clear:
        reach = f"the minimum detectable effect is {pair.detectable:.2g}"
        return f"Not shown: {best.name} is not distinguishable from {pair.second} ({numbers}; {reach}).{seeds}"
    text = f"{best.name} is better than {pair.second} ({numbers})"
    if claim.even:
        return f"Not shown: {text}, but not than the same arm {' or '.join(claim.even)}.{seeds}"
    if claim.unfinished:
        return f"Not shown yet: {text}, but the same arm {' and '.join(claim.unfinished)} is not finished.{seeds}"
    if not claim.controls:
        return f"Yes: {text}; the study plans no placebo of it.{seeds}"
    return f"Yes: {text}, and than the same arm {listed(claim.controls)}.{seeds}"


def worth_sentence(panel: Panel, claim: Claim) -> str:
    """Say whether the score of the arm, or its score and its selection, earn their cost."""
    cost, pair, even = claim.arm.cost, panel.at_equal_cost.get(claim.arm.name), [*claim.even, *claim.unfinished]
    seconds, what = cost.choosing("seconds"), "score and selection" if cost.selecting_seconds else "score"
    if seconds is None:
        return f"What its {what} cost is not recorded."
    times = f"Its {what} cost {cost.seconds_in_words()}"
    if pair is None:
        return f"{times}; whether that pays is unknown until a baseline trained for that long is finished."
    words = {
        "better": f"that pays, but so may the same arm {' or '.join(even)}" if even else "it earns its cost",
        "worse": "it is not worth its cost",
        "not": "it is not shown to earn its cost",
    }
    return (
        f"{times}; against the baseline trained for the same time the difference is {pair.estimate.value:+.3g} "
        f"{pair.unit}: {words[pair.verdict.split()[0]]}."
    )
