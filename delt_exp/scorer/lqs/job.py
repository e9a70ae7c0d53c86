"""An annotation on several processes."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from delt_exp.corpus.tokens import Tokens
from delt_exp.distributed.processes import Spread, run_in_group
from delt_exp.distributed.ranks import Ranks
from delt_exp.proxy.base import ProxyModel
from delt_exp.scorer.lqs.annotate import annotate
from delt_exp.scorer.lqs.settings import AnnotationSettings
from delt_exp.scorer.reverse.documents import document_samples
from delt_exp.scorer.reverse.shown import Shown

FILE = "annotation.safetensors"


@dataclass(frozen=True, eq=False)
class AnnotationJob:
    """Everything an annotation needs; rows index the documents, a row of `train_TB` is the batch of one update."""

    model: ProxyModel
    candidates: Tokens
    target: Tokens
    train_TB: NDArray[np.int64]
    target_rows: NDArray[np.int64]
    document_rows: NDArray[np.int64]
    context_tokens: int
    settings: AnnotationSettings
    device: str

    def unloaded(self) -> "AnnotationJob":
        """Return the same job without the network, which each process loads by itself."""
        return replace(self, model=replace(self.model))


def run_annotation(job: AnnotationJob, folder: Path, spread: Spread) -> None:
    """Write the annotation to `folder`, the same scores on any number of processes.

    Continues after the last segment that a killed call finished.
    """
    run_in_group(_annotate, job, folder, spread)


def _annotate(job: AnnotationJob, folder: Path, ranks: Ranks | None) -> None:
    context = job.context_tokens
    device = torch.device(job.device, torch.cuda.current_device()) if job.device == "cuda" else torch.device("cpu")
    batches = [document_samples(job.candidates, rows, context) for rows in job.train_TB]
    target = document_samples(job.target, job.target_rows, context)
    documents = document_samples(job.candidates, job.document_rows, context)
    is_first = ranks is None or ranks.rank == 0
    with Shown(is_first) as progress:
        annotation = annotate(
            job.model.network.to(device), batches, target, documents, job.settings,
            ranks=ranks, state_dir=folder / "state", progress=progress,
        )  # fmt: skip
    if is_first:
        annotation.save(folder / FILE)
        shutil.rmtree(folder / "state")
