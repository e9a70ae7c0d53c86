"""An annotation on several processes."""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from delt_exp.corpus.tokens import Tokens
from delt_exp.distributed.processes import join_group, run_in_processes
from delt_exp.distributed.ranks import ProcessGroup
from delt_exp.progress import Task, track
from delt_exp.scorer.lqs.annotate import annotate
from delt_exp.scorer.lqs.annotation import Annotation
from delt_exp.scorer.lqs.documents import document_samples
from delt_exp.scorer.lqs.settings import AnnotationSettings


@dataclass(frozen=True, eq=False)
class AnnotationJob:
    """Everything an annotation needs; rows index the documents, a row of `train_TB` is the batch of one update."""

    network: Any
    candidates: Tokens
    target: Tokens
    train_TB: NDArray[np.int64]
    target_rows: NDArray[np.int64]
    proxy_rows: NDArray[np.int64]
    context_tokens: int
    settings: AnnotationSettings
    device: str


def run_annotation(job: AnnotationJob, state_dir: Path, devices: int, num_nodes: int) -> Annotation:
    """Annotate on `devices` processes of each node, with the same scores; continues behind the last whole segment."""
    if devices * num_nodes == 1:
        return _annotate(job, state_dir, None)
    shared = state_dir.parent
    result: Annotation = run_in_processes(_annotate_rank, (job, state_dir), devices, num_nodes, shared)
    return result


def _annotate_rank(job: AnnotationJob, state_dir: Path) -> Annotation | None:
    is_first = join_group(job.device)
    # Tensors reach other processes through shared memory; every rank moves its own parameters.
    own = replace(job, network=copy.deepcopy(job.network))
    annotation = _annotate(own, state_dir, ProcessGroup())
    return annotation if is_first else None


def _annotate(job: AnnotationJob, state_dir: Path, ranks: ProcessGroup | None) -> Annotation:
    context = job.context_tokens
    device = torch.device(job.device, torch.cuda.current_device()) if job.device == "cuda" else torch.device("cpu")
    batches = [document_samples(job.candidates, rows, context) for rows in job.train_TB]
    target = document_samples(job.target, job.target_rows, context)
    proxies = document_samples(job.candidates, job.proxy_rows, context)
    with _Shown(ranks is None or ranks.rank == 0) as progress:
        return annotate(
            job.network.to(device), batches, target, proxies, job.settings,
            ranks=ranks, state_dir=state_dir, progress=progress,
        )  # fmt: skip


class _Shown:
    """Shows the phases of an annotation one after the other."""

    def __init__(self, is_shown: bool) -> None:
        self.is_shown = is_shown
        self._phase, self._done = "", 0
        self._bar: Any = None
        self._task: Task | None = None

    def __enter__(self) -> "_Shown":
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)

    def __call__(self, phase: str, done: int, total: int) -> None:
        if not self.is_shown:
            return
        if phase != self._phase:
            self.__exit__()
            unit = "proxies" if phase == "proxies" else "updates"
            self._bar = track(f"annotating, {phase}", total, unit)
            self._task, self._phase, self._done = self._bar.__enter__(), phase, 0
        assert self._task is not None
        self._task.advance(done - self._done)
        self._done = done
