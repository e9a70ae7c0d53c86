"""Reads the batches of a plan in order: every rank its share of each global batch, starting at any step.

The micro-batch j of a step on rank r is the slice [(j*W + r)*b, +b) of the global batch, so that any number of ranks W
and accumulation steps covers exactly the same items. Slots past the end of the batch are empty rows without labels.
"""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from delt_exp.corpus.tokens import IGNORED
from delt_exp.trainer.plan import Item, Plan
from delt_exp.trainer.settings import accumulation

# A rank comes from a server of processes, and would start another one for its readers, in which each imports torch.
READERS = "fork" if sys.platform == "linux" else None


class _Items(Dataset[dict[str, Any]]):
    """Items of a plan; a negative index is an empty row, for a rank that has nothing left in a batch."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __getitem__(self, index: int) -> dict[str, Any]:
        none = np.empty(0, np.int64)
        item = self.plan.item(index) if index >= 0 else Item(none, none, -1, -1, none)
        return {"index": index, **item._asdict()}


class OrderedBatches:
    """A batch sampler: lists of item indices for one rank, starting at the trainer's current step."""

    def __init__(self, plan: Plan, rank: int, world_size: int, micro_batch_items: int, trainer: Any) -> None:
        self.plan, self.rank, self.world_size = plan, rank, world_size
        self.micro, self.trainer = plan.whole_samples(micro_batch_items), trainer
        self.accumulation = accumulation(plan.batch_items, world_size, self.micro)

    def __len__(self) -> int:
        return self.plan.num_steps * self.accumulation

    def __iter__(self) -> Iterator[list[int]]:
        # global_step is restored from a checkpoint before the first batch is asked for: exact resume in mid-epoch.
        for step in range(self.trainer.global_step if self.trainer is not None else 0, self.plan.num_steps):
            yield from self.of_step(step)

    def of_step(self, step: int) -> Iterator[list[int]]:
        """Yield the micro-batches of one step."""
        end = min((step + 1) * self.plan.batch_items, self.plan.num_items)
        for j in range(self.accumulation):
            first = step * self.plan.batch_items + (j * self.world_size + self.rank) * self.micro
            yield list(range(first, min(first + self.micro, end))) or [-1 - step] * self.plan.rows_per_sample


class _Collate:
    """Pads items to one micro-batch; knows the number of labels of each global batch without asking the other ranks.

    reference: [N, 2] log probabilities of the sides of all documents, of which each row gets its own.
    """

    def __init__(self, plan: Plan, reference: NDArray[np.float64] | None = None) -> None:
        self.plan, self.reference = plan, reference
        self.batch_items, self.eos_id = plan.batch_items, plan.tokens.eos_id
        self.counts, self.gives_positions = plan.counts_per_step(), plan.isolates_documents

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        lengths = torch.tensor([len(item["labels"]) for item in items])
        inputs = np.full((len(items), max(int(lengths.max()), 1)), self.eos_id)
        labels, positions = np.full(inputs.shape, IGNORED), np.zeros_like(inputs)
        for row, item in enumerate(items):
            inputs[row, : len(item["inputs"])] = item["inputs"]
            labels[row, : len(item["labels"])] = item["labels"]
            positions[row, : len(item["positions"])] = item["positions"]
        index = torch.tensor([item["index"] for item in items])
        step = int(index[0]) // self.batch_items if index[0] >= 0 else -1 - int(index[0])
        return {
            "input_ids": torch.from_numpy(inputs),
            "labels": torch.from_numpy(labels),
            # Without them a network counts from 0 itself, and need not look for borders of documents.
            **({"position_ids": torch.from_numpy(positions)} if self.gives_positions else {}),
            **({} if self.reference is None else {"reference": self._reference_of(index)}),
            "lengths": lengths,
            "index": index,
            "first": torch.tensor([item["first"] for item in items]),
            "last": torch.tensor([item["last"] for item in items]),
            "step": step,
            "count": int(self.counts[step]),
        }

    def _reference_of(self, index: torch.Tensor) -> torch.Tensor:
        """Return [B]; 0 for a row without an item."""
        assert self.reference is not None
        items = index.clamp(min=0).numpy()
        found = torch.from_numpy(self.reference[self.plan.order[items // 2], items % 2])
        return found.where(index >= 0, 0)


class StepBatches:
    """The micro-batches of one rank, step by step, for a weighter that must see a whole batch before it is trained."""

    def __init__(self, plan: Plan, rank: int, world_size: int, micro_batch_items: int) -> None:
        self.indices = OrderedBatches(plan, rank, world_size, micro_batch_items, trainer=None)
        self.items, self.collate = _Items(plan), _Collate(plan)

    def __call__(self, step: int) -> Iterator[dict[str, Any]]:
        for indices in self.indices.of_step(step):
            yield self.collate([self.items[index] for index in indices])


class OrderedDataModule(pl.LightningDataModule):
    """The training batches of a plan; the Trainer must run with `use_distributed_sampler=False`.

    micro_batch_items: sequences in one forward pass. num_workers: reader processes beside each rank.
    """

    def __init__(
        self, plan: Plan, micro_batch_items: int, num_workers: int, reference: NDArray[np.float64] | None = None
    ) -> None:
        super().__init__()
        self.reference = reference
        self.plan, self.micro_batch_items, self.num_workers = plan, micro_batch_items, num_workers

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Return this rank's batches, or those of a single process when no trainer is attached."""
        trainer = self.trainer
        rank, world = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        return DataLoader(
            _Items(self.plan),
            batch_sampler=OrderedBatches(self.plan, rank, world, self.micro_batch_items, trainer),
            collate_fn=_Collate(self.plan, self.reference),
            num_workers=self.num_workers,
            multiprocessing_context=READERS if self.num_workers else None,
            pin_memory=torch.cuda.is_available(),
        )
