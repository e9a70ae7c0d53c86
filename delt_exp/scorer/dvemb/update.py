"""What each update of a run was made of, and what each document had in it.

Shapes: N occurrences of documents in an update, T positions of a sequence.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delt_exp.corpus.tokens import IGNORED, Tokens
from delt_exp.scorer.reverse.documents import document_samples
from delt_exp.scorer.reverse.samples import Sample
from delt_exp.trainer.plan import Item, Plan


@dataclass(frozen=True, eq=False)
class Update:
    """One update: its loss is the sum of weight times mean token loss over `samples`, and over `parts` alike.

    samples: the sequences that were trained. parts: the same loss divided among documents, one occurrence each, of the
    corpus row `rows_N`; equal to `samples` where a sequence is a document.
    """

    samples: Sequence[Sample]
    weights: Tensor
    parts: Sequence[Sample]
    part_weights_N: Tensor
    rows_N: NDArray[np.intp]


def document_updates(tokens: Tokens, batches: Sequence[NDArray[np.intp]], context_tokens: int) -> list[Update]:
    """Updates on whole documents (their first `context_tokens`), each of which counts the same in its batch."""
    updates = []
    for rows_N in batches:
        samples = document_samples(tokens, rows_N, context_tokens)
        weights_N = torch.full((len(samples),), 1 / len(samples), dtype=torch.float64)
        updates.append(Update(samples, weights_N, samples, weights_N, rows_N))
    return updates


def plan_updates(plan: Plan) -> list[Update]:
    """The updates of a training run, in which each predicted token of a global batch counts the same.

    A document is the labels it has in a sequence; the tokens before it stay what it is read after, as in training.
    """
    targets_per_step = plan.targets_per_step()
    updates = []
    for step in range(plan.num_steps):
        items = range(step * plan.batch_items, min((step + 1) * plan.batch_items, plan.num_items))
        pairs = [pair for index in items for pair in _parts(plan, index)]
        samples = [_sample(plan, plan.item(index)) for index in items]
        parts, rows_N = [part for part, _ in pairs], np.array([row for _, row in pairs], np.intp)
        targets = int(targets_per_step[step])
        updates.append(Update(samples, _weights(samples, targets), parts, _weights(parts, targets), rows_N))
    return updates


def _sample(plan: Plan, item: Item) -> Sample:
    inputs, labels, positions = (torch.from_numpy(np.array(ids)) for ids in (item.inputs, item.labels, item.positions))
    return Sample(inputs, labels, positions if plan.isolates_documents else None)


def _parts(plan: Plan, index: int) -> Iterator[tuple[Sample, int]]:
    """The item once for every document with a predicted token in it, its labels alone, up to the last of them."""
    item, start = plan.item(index), int(plan.bounds(index)[0])
    # A label is the token one position further, and its document the first that ends there or later.
    document_T = np.searchsorted(plan.ends, start + 1 + np.arange(len(item.labels)))
    is_label_T = item.labels != IGNORED
    for document in np.unique(document_T[is_label_T]):
        labels = np.where(document_T == document, item.labels, IGNORED)
        length = int(np.flatnonzero(labels != IGNORED)[-1]) + 1
        cut = item._replace(inputs=item.inputs[:length], labels=labels[:length], positions=item.positions[:length])
        yield _sample(plan, cut), int(plan.order[document])


def _weights(samples: Sequence[Sample], targets: int) -> Tensor:
    return torch.tensor([int((s.labels_T != IGNORED).sum()) for s in samples], dtype=torch.float64) / targets
