"""What can be shown of a training run afterwards: that each step learnt from exactly what the plan says.

Training records what entered the network and the loss, how each loss entered the gradient, and what every update did to
the parameters (`recorder`). Here the same digests are computed a second time, from the stored tokens alone, by walking
the planned documents one after the other; `steps` compares the rest with plan and recipe.

Taken for granted: the arithmetic of the network, its derivatives and the optimizer, the averages over processes, and
that a compiled network reads all it is called with. Tests compare these with plain loops.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import IGNORED
from delt_exp.rows.draws import GOLDEN, splitmix64
from delt_exp.trainer.plan import Ints, Plan

CONSUMED = np.dtype([
    ("step", "<i8"), ("slot", "<i8"), ("first", "<i8"), ("last", "<i8"), ("digest", "<i8"), ("least_weight", "<f8"),
    ("largest_weight", "<f8"),
])  # fmt: skip
"""One sequence. first, last: plan positions of its documents. least_weight, largest_weight: d objective / d loss of its
predicted tokens, w / labels of the global batch for a sequence of weight w; inf and -inf where it predicts nothing."""


def walk(plan: Plan) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Yield (inputs, labels, positions) of every item by walking the documents once, the obvious definition."""
    tokens, size, isolated = plan.tokens, plan.context_tokens, plan.isolates_documents
    begin, eos, nothing = np.array([tokens.begin_id]), np.array([tokens.eos_id]), np.empty(0, np.int64)
    is_shared = tokens.begin_id == tokens.eos_id
    stream, labels = nothing, nothing  # the label of each input but the last, whose label is the next token
    begins = np.empty(0, bool)
    yielded = 0
    for row in plan.order:
        if plan.layout == "padded":
            stream, labels, begins = nothing, nothing, begins[:0]
        if not len(stream):
            stream, begins = begin, np.array([True])
        elif not is_shared:
            stream, labels = np.concatenate([stream, begin]), np.concatenate([labels, [IGNORED]])
            begins = np.concatenate([begins, [isolated]])
        body = tokens.document(int(row)).astype(np.int64)
        predicted = tokens.predicted(int(row), completion_only=plan.completion_only)
        stream = np.concatenate([stream, body, eos])
        labels = np.concatenate([labels, np.where(predicted, body, IGNORED), eos])
        begins = np.concatenate([begins, np.zeros(len(body), bool), [isolated and is_shared]])
        while len(labels) >= size or (plan.layout == "padded" and len(labels)):
            if yielded == plan.num_items:
                return
            length = min(size, len(labels))
            yield stream[:length], labels[:length], _counted(begins[:length])
            stream, labels, begins = stream[size:], labels[size:], begins[size:]
            yielded += 1
    if len(labels) and yielded < plan.num_items:
        yield stream[:-1], labels, _counted(begins[:-1])


def walk_pairs(plan: Plan) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Yield (inputs, labels, positions) of both sides of every preference: chosen, rejected, chosen ..."""
    both = [side for side in (plan.tokens, plan.tokens.rejected) if side is not None]
    for row in plan.order[: plan.num_items // 2].tolist():
        bodies = [side.document(row).astype(np.int64) for side in both]
        excess = max(0, max(len(body) + 1 for body in bodies) - plan.context_tokens)
        for body, start in zip(bodies, (side.answer_start(row) for side in both), strict=True):
            cut = min(excess, start)
            labels = np.concatenate([np.full(start - cut, IGNORED), body[start:], [plan.tokens.eos_id]])
            yield np.concatenate([[plan.tokens.begin_id], body[cut:]]), labels, np.arange(len(labels))


def _counted(begins: NDArray[np.bool_]) -> Ints:
    """Positions from 0 at the first token and at every token where a document begins."""
    index = np.arange(len(begins))
    return index - np.maximum.accumulate(np.where(begins, index, 0))


def item_digest(inputs_T: Ints, labels_T: Ints, positions_T: Ints) -> int:
    """Return the 64-bit digest of a sequence: sum_t (x_t + 1) a_t + (y_t + 101) b_t + (p_t + 1) c_t mod 2^64.

    a_t, b_t, c_t are fixed odd numbers; two different sequences agree with probability about 2^-63. Wraps like the
    int64 arithmetic of torch, so that training computes it on its device.
    """
    a_T, b_T, c_T = multipliers(len(inputs_T))
    with np.errstate(over="ignore"):
        return int(((inputs_T + 1) * a_T + (labels_T + 101) * b_T + (positions_T + 1) * c_T).sum())


def multipliers(length: int) -> tuple[Ints, Ints, Ints]:
    """Return the fixed odd multipliers a_t, b_t, c_t of positions 0..length-1."""
    counter = np.arange(1, 3 * length + 1, dtype=np.uint64) * np.uint64(GOLDEN)
    odd = (splitmix64(counter) | np.uint64(1)).astype(np.int64)
    return odd[0::3], odd[1::3], odd[2::3]


def order_mismatch(plan: Plan, consumed: NDArray[np.void]) -> str:
    """Return an empty string when the network read and predicted exactly the plan, else the first difference.

    consumed: records of CONSUMED, one a sequence, in any order (ranks write their own). Steps are counted from 1, as in
    metrics.csv, and so are the sequences of a step.
    """
    consumed = np.sort(consumed, order=["step", "slot"])
    if len(consumed) != plan.num_items:
        return f"{len(consumed)} sequences were consumed, {plan.num_items} planned"
    index = np.arange(plan.num_items)
    misplaced = (consumed["step"] != index // plan.batch_items) | (consumed["slot"] != index % plan.batch_items)
    if misplaced.any():
        return f"sequence {int(misplaced.argmax()) + 1} was consumed in another step or twice"
    items = walk(plan) if plan.rows_per_sample == 1 else walk_pairs(plan)
    for i, item in enumerate(items):
        if item_digest(*item) != consumed["digest"][i]:
            step, sequence = divmod(i, plan.batch_items)
            return f"step {step + 1}, sequence {sequence + 1}: other tokens, labels or positions than planned"
    return ""


def weight_mismatch(plan: Plan, consumed: NDArray[np.void], planned_I: NDArray[np.float64] | None) -> str:
    """Return an empty string when every predicted token entered the gradient with the weight of its sequence.

    Else the first that did not. consumed: of all items of the plan. planned_I: weights of the items as they were
    planned or given, with mean 1 over each batch; None where they were not kept: then all tokens of a sequence only
    have to have the same weight.
    """
    consumed = np.sort(consumed, order=["step", "slot"])
    starts = np.arange(0, plan.num_items, plan.batch_items)
    sizes = np.diff(starts, append=plan.num_items)
    weights_2I = np.stack([consumed["least_weight"], consumed["largest_weight"]]) * plan.labels_per_step().repeat(sizes)
    is_empty = np.isposinf(weights_2I[0]) & np.isneginf(weights_2I[1])
    if planned_I is None:
        planned_I = np.where(is_empty, 1.0, weights_2I[0])
    means = np.add.reduceat(planned_I, starts) / sizes
    if not np.allclose(means, 1, rtol=1e-4):
        step = int((~np.isclose(means, 1, rtol=1e-4)).argmax())
        return f"step {step + 1}: the weights of its sequences have the mean {means[step]:g} and not 1"
    is_wrong = ~np.isclose(weights_2I, planned_I, rtol=1e-4).all(0) & ~is_empty
    if not is_wrong.any():
        return ""
    step, sequence = divmod(int(is_wrong.argmax()), plan.batch_items)
    found, planned = weights_2I[:, is_wrong.argmax()], planned_I[is_wrong.argmax()]
    return (
        f"step {step + 1}: a loss entered the gradient with another weight than planned: those of sequence "
        f"{sequence + 1} with {found[0]:g} to {found[1]:g} times 1 / labels of the batch, not {planned:g}"
    )
