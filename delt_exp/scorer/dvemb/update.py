"""What each update of a run was made of.

Shapes: B sequences of an update, T positions of a sequence, N occurrences of documents in the update.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delt_exp.corpus.tokens import IGNORED
from delt_exp.scorer.reverse.samples import Sample
from delt_exp.trainer.plan import Item, Plan

NOBODY = -1  # the occurrence at a position where nothing is predicted


@dataclass(frozen=True, eq=False)
class Update:
    """One update, whose loss is the sum of weight times mean token loss over its sequences.

    occurrence_BT: for each sequence a vector (T,) of the occurrence that each label belongs to, a place in `rows_N`;
    NOBODY where there is no label. rows_N: the corpus row of each occurrence.
    """

    samples: Sequence[Sample]
    weights_B: Tensor
    occurrence_BT: Sequence[Tensor]
    rows_N: NDArray[np.intp]

    @cached_property
    def token_weights(self) -> Tensor:
        """What the loss of each token counts in the update's, (B,) float64."""
        counts = [int((sample.labels_T != IGNORED).sum()) for sample in self.samples]
        return self.weights_B.double() / torch.tensor(counts).clamp(min=1)

    @cached_property
    def shares(self) -> Tensor:
        """What the tokens of each occurrence count in the update's loss together, (N,) float64."""
        shares_N = torch.zeros(len(self.rows_N), dtype=torch.float64)
        for weight, occurrence_T in zip(self.token_weights.tolist(), self.occurrence_BT, strict=True):
            counts_N = torch.bincount(occurrence_T[occurrence_T != NOBODY], minlength=len(shares_N))
            shares_N += weight * counts_N
        return shares_N


def plan_updates(plan: Plan) -> list[Update]:
    """The updates of a training run, in which each predicted token of a global batch counts the same.

    An occurrence of a document is the labels that it has in one sequence. What stands before it in the sequence stays
    what it is read after, as in training.
    """
    labels_per_step = plan.labels_per_step()
    return [_update(plan, step, int(labels_per_step[step])) for step in range(plan.num_steps)]


def _update(plan: Plan, step: int, num_labels: int) -> Update:
    samples, counts, occurrence_BT, rows = [], [], [], list[int]()
    for index in range(step * plan.batch_items, min((step + 1) * plan.batch_items, plan.num_items)):
        item, start = plan.item(index), int(plan.bounds(index)[0])
        # A label is the token one position further, and its document the first that ends there or later.
        document_T = np.searchsorted(plan.ends, start + 1 + np.arange(len(item.labels)))
        is_label_T = item.labels != IGNORED
        documents, place_T = np.unique(document_T[is_label_T], return_inverse=True)
        occurrence_T = np.full(len(item.labels), NOBODY)
        occurrence_T[is_label_T] = len(rows) + place_T
        rows += plan.order[documents].tolist()
        samples.append(_sample(plan, item))
        counts.append(int(is_label_T.sum()))
        occurrence_BT.append(torch.from_numpy(occurrence_T))
    weights_B = torch.tensor(counts, dtype=torch.float64) / num_labels
    return Update(samples, weights_B, occurrence_BT, np.array(rows, np.intp))


def _sample(plan: Plan, item: Item) -> Sample:
    inputs, labels, positions = (torch.from_numpy(np.array(ids)) for ids in (item.inputs, item.labels, item.positions))
    return Sample(inputs, labels, positions if plan.isolates_documents else None)
