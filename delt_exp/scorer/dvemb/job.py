"""A valuation on several processes, as a stage of the store."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from delt_exp.corpus.tokens import Tokens
from delt_exp.distributed.processes import Spread, run_in_group
from delt_exp.distributed.ranks import Ranks
from delt_exp.proxy.base import ProxyModel
from delt_exp.scorer.dvemb.settings import ValueSettings
from delt_exp.scorer.dvemb.update import Update, document_updates
from delt_exp.scorer.dvemb.value import OpenStates, short_states, value_documents
from delt_exp.scorer.dvemb.values import Values
from delt_exp.scorer.reverse.documents import document_samples
from delt_exp.scorer.reverse.shown import Shown
from delt_exp.store.store import Store

FILE = "values.safetensors"


class ValuedTraining(Protocol):
    """A training run whose documents are valued; travels to other processes as it is."""

    def network(self) -> Any:
        """Return the network as it was before the first update."""

    def updates(self) -> list[Update]:
        """Return what each update was made of."""

    def open_states(self, cure: str) -> OpenStates:
        """Return what gives the states of the run."""

    def unloaded(self) -> "ValuedTraining":
        """Return the same without what each process loads by itself."""


@dataclass(frozen=True, eq=False)
class ShortTraining:
    """Plain gradient descent from `model` at the learning rate `lr`, a batch of whole documents an update."""

    model: ProxyModel
    candidates: Tokens
    batches: Sequence[NDArray[np.intp]]
    context_tokens: int
    lr: float

    def network(self) -> Any:
        return self.model.network

    def updates(self) -> list[Update]:
        return document_updates(self.candidates, self.batches, self.context_tokens)

    def open_states(self, cure: str) -> OpenStates:
        return short_states([self.lr] * len(self.batches), cure)

    def unloaded(self) -> "ShortTraining":
        return replace(self, model=replace(self.model))


@dataclass(frozen=True, eq=False)
class ValueJob:
    """Everything a valuation needs. target_groups: rows of `target` that share a gradient, one array for each group."""

    training: ValuedTraining
    target: Tokens
    target_groups: Sequence[NDArray[np.intp]]
    context_tokens: int
    settings: ValueSettings
    device: str

    def unloaded(self) -> "ValueJob":
        """Return the same job for another process."""
        return replace(self, training=self.training.unloaded())


def values_stage(
    store: Store, inputs: Mapping[str, Any], job: ValueJob, spread: Spread
) -> tuple[Values, Mapping[str, Any]]:
    """Return the values of `job`, which `inputs` decide, and what computing them took, whenever that was.

    They are the same on any number of processes. A killed valuation continues after its last finished segment.
    """

    def build(folder: Path) -> None:
        run_in_group(_value, job, folder, spread)

    use = store.get("document values", inputs, build, resumable=True)
    return Values.load(use.path / FILE), use.cost


def _value(job: ValueJob, folder: Path, ranks: Ranks | None) -> None:
    device = torch.device(job.device, torch.cuda.current_device()) if job.device == "cuda" else torch.device("cpu")
    target = [document_samples(job.target, rows, job.context_tokens) for rows in job.target_groups]
    is_first = ranks is None or ranks.rank == 0
    with Shown(is_first) as progress:
        values = value_documents(
            job.training.network().to(device), job.training.updates(), target,
            job.training.open_states(job.settings.cure), job.settings,
            ranks=ranks, state_dir=folder / "state", progress=progress,
        )  # fmt: skip
    if is_first:
        values.save(folder / FILE)
        shutil.rmtree(folder / "state")
