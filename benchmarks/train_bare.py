"""Training against a bare PyTorch loop: same model, batches, optimizer and clipping, nothing else."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from benchmarks.fixtures import config, train_job
from benchmarks.steady import StopWatch, run_ours
from benchmarks.table import Row, alternate, median_ratio, spread
from delt_exp.datamodule import OrderedDataModule
from delt_exp.plan import IGNORED
from delt_exp.train import TrainJob

Batches = list[dict[str, Any]]


def measure(quick: bool) -> list[Row]:
    """Return our rate over that of the loop, for `model=tiny trainer=cpu`."""
    num_steps, num_repeats = (20, 3) if quick else (60, 7)
    with TemporaryDirectory() as folder:
        job = train_job(config("model=tiny", "trainer=cpu"), Path(folder), num_steps)
        batches: Batches = list(OrderedDataModule(job.plan, job.recipe.batch_items, num_workers=0).train_dataloader())
        ours, bare = alternate(num_repeats, lambda: run_ours(job), lambda: run_bare(job, batches))
    detail = f"{num_steps} steps of tiny, {torch.get_num_threads()} threads; {spread(ours, bare)}"
    return [Row("training, useful tokens/s", "bare loop", median_ratio(ours, bare), "x", detail, at_least=0.95)]


def run_bare(job: TrainJob, batches: Batches) -> float:
    """Return the rate of the plainest loop over batches that are tensors already."""
    network = job.recipe.make_network(job.tokenizer, job.seed).train()
    optimizer, watch = job.recipe.optimizer.make(network), StopWatch()
    for batch in batches:
        logits_BTV = network(input_ids=batch["inputs"], use_cache=False).logits
        cross_entropy(logits_BTV.flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORED).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), job.recipe.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        watch.tick()
    return watch.rate([batch["targets"] for batch in batches])
