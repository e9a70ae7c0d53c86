"""Whether the two sides of every preference entered the gradient as the objective says: alike, with opposite signs.

P pairs.
"""

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.pairs import answer_tokens
from delt_exp.model.dpo import DPO
from delt_exp.trainer.plan import Plan


def pair_weight_mismatch(plan: Plan, consumed: NDArray[np.void], objective: DPO) -> str:
    """Return an empty string when every pair pushes its sides apart by one number that DPO can give.

    With l the losses of tokens, d objective / d l is a = beta (1 - smoothing - sigmoid(h)) / pairs of the batch for
    each token of the chosen answer and -a for each of the rejected one (divided by its tokens with `length=mean`). h is
    not known here, but that it is one number for both sides, and between which bounds a lies. consumed: of all items of
    the plan.
    """
    consumed = np.sort(consumed, order=["step", "slot"])
    pairs_S = plan.counts_per_step()
    scale_P1 = np.repeat(pairs_S, pairs_S)[:, None] / objective.beta
    if objective.length == "mean":
        scale_P1 = scale_P1 * answer_tokens(plan.tokens, plan.order[: len(scale_P1)])
    found_P2, largest_P2 = (consumed[name].reshape(-1, 2) * scale_P1 for name in ("least_weight", "largest_weight"))
    is_one = np.isclose(found_P2, largest_P2, rtol=1e-4, atol=1e-9).all(1)
    is_opposite = np.isclose(found_P2[:, 0], -found_P2[:, 1], rtol=1e-4, atol=1e-9)
    # sigmoid(h) is between 0 and 1.
    is_possible = np.abs(found_P2[:, 0] + objective.label_smoothing - 0.5) <= 0.5 + 1e-4
    is_wrong = ~(is_one & is_opposite & is_possible)
    if not is_wrong.any():
        return ""
    first = int(is_wrong.argmax())
    step, place = divmod(first, plan.batch_items // 2)
    return (
        f"step {step + 1}: pair {place + 1} entered the gradient with other weights than planned: its chosen answer "
        f"with {found_P2[first, 0]:g} and the rejected one with {found_P2[first, 1]:g} times beta / pairs of the batch"
    )
