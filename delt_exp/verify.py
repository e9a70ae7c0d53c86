"""Proof that the planned order reached the optimizer.

Training records for every sequence it consumed a digest of the very tensors given to the model. Here the same digests
are computed a second time, from the stored tokens alone, by walking the planned documents one after the other.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from delt_exp.plan import IGNORED, Ints, Plan

CONSUMED = np.dtype([("step", "<i8"), ("slot", "<i8"), ("first", "<i8"), ("last", "<i8"), ("digest", "<i8")])


def walk(plan: Plan) -> Iterator[tuple[Ints, Ints]]:
    """Yield (inputs, labels) of every item by walking the documents once: the slow, obvious definition of a plan."""
    tokens, size = plan.tokens, plan.context_tokens
    begin, eos, nothing = np.array([tokens.begin_id]), np.array([tokens.eos_id]), np.empty(0, np.int64)
    stream, labels = nothing, nothing  # the label of each input but the last, whose label is the next token
    yielded = 0
    for row in plan.order:
        if plan.layout == "padded":
            stream, labels = nothing, nothing
        if not len(stream):
            stream = begin
        elif tokens.begin_id != tokens.eos_id:
            stream, labels = np.concatenate([stream, begin]), np.concatenate([labels, [IGNORED]])
        body = tokens.document(int(row)).astype(np.int64)
        predicted = tokens.predicted(int(row), completion_only=plan.completion_only)
        stream = np.concatenate([stream, body, eos])
        labels = np.concatenate([labels, np.where(predicted, body, IGNORED), eos])
        while len(labels) >= size or (plan.layout == "padded" and len(labels)):
            if yielded == plan.num_items:
                return
            yield stream[: min(size, len(labels))], labels[:size]
            stream, labels = stream[size:], labels[size:]
            yielded += 1
    if len(labels) and yielded < plan.num_items:
        yield stream[:-1], labels


def row_digests(inputs_BT: Ints, labels_BT: Ints, lengths_B: Ints) -> Ints:
    """Return [B] 64-bit digests of sequences; what lies beyond a row's length does not count.

    Digest = sum_t (x_t + 1) a_t + (y_t + 101) b_t mod 2^64 with fixed odd a_t, b_t; two different rows agree with
    probability about 2^-63. Wraps like the int64 arithmetic of torch, so that training computes it on its device.
    """
    a_T, b_T = multipliers(inputs_BT.shape[1])
    inside = np.arange(inputs_BT.shape[1]) < lengths_B[:, None]
    with np.errstate(over="ignore"):
        terms = (inputs_BT + 1) * a_T + (labels_BT + 101) * b_T
        return np.asarray(np.where(inside, terms, 0).sum(axis=1))


def multipliers(length: int) -> tuple[Ints, Ints]:
    """Return the fixed odd multipliers a_t, b_t of positions 0..length-1."""
    state = np.arange(1, 2 * length + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # splitmix64
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    odd = ((state ^ (state >> np.uint64(31))) | np.uint64(1)).astype(np.int64)
    return odd[0::2], odd[1::2]


def order_mismatch(plan: Plan, consumed: NDArray[np.void]) -> str:
    """Return an empty string when training consumed exactly the plan, else the first difference.

    consumed: records of CONSUMED, one a sequence, in any order (ranks write their own).
    """
    consumed = np.sort(consumed, order=["step", "slot"])
    if len(consumed) != plan.num_items:
        return f"{len(consumed)} sequences were consumed, {plan.num_items} planned"
    index = np.arange(plan.num_items)
    misplaced = (consumed["step"] != index // plan.batch_items) | (consumed["slot"] != index % plan.batch_items)
    if misplaced.any():
        return f"sequence {int(misplaced.argmax())} was consumed in another step or twice"
    for i, (inputs, labels) in enumerate(walk(plan)):
        expected = row_digests(inputs[None], labels[None], np.array([len(labels)]))[0]
        if expected != consumed["digest"][i]:
            return f"step {i // plan.batch_items}, sequence {i % plan.batch_items}: other tokens than planned"
    return ""
