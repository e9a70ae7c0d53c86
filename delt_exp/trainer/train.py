"""Trains one language model on one plan, on one process or many, and can be killed at any moment.

The folder of a training run holds `metrics.csv`, `checkpoints/` (while it runs), `consumed.npy` (which sequence each
step consumed), `steps.npy` (what each step did), `shown/` (what there is to see of learnt weights), `model/` (Hugging
Face format, with tokenizer), `averaged/` (the same of averaged weights, where there are some) and `result.json`.
"""

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from delt_exp.distributed.processes import run_in_processes, share_threads
from delt_exp.errors import ConfigError
from delt_exp.files import file_sha256
from delt_exp.progress import say
from delt_exp.runtime import quiet
from delt_exp.trainer.finish import finish
from delt_exp.trainer.job import TrainJob
from delt_exp.trainer.metrics_file import MetricsFile, follow
from delt_exp.trainer.settings import accumulation

if TYPE_CHECKING:
    import pytorch_lightning as pl


OnMetrics = Callable[[Mapping[str, float]], None]


def train(job: TrainJob, folder: Path, on_metrics: OnMetrics | None = None, keep: Sequence[int] = ()) -> None:
    """Train `job` into `folder`, continuing from the last checkpoint there.

    on_metrics gets every line of metrics.csv as it is written, those before a restart included. keep: numbers of
    updates after which the state is kept, in `states/step-S`. Raises ConfigError before any step, for a schedule or
    context that does not fit or a network that cannot keep packed documents apart; DivergedError at the step whose
    numbers are not finite.
    """
    if (folder / "result.json").exists():  # killed between the last step and the renaming of the folder
        with follow(folder / "metrics.csv", on_metrics):  # it hands over the lines that the killed process wrote
            _clean_up(folder)
        return
    job.recipe.schedule.check(job.plan.num_steps)
    if job.averaging is not None:
        job.averaging.check(job.plan.num_steps)
    if job.plan.rows_per_sample == 2 and job.reference is None:
        raise ConfigError(
            "model.objective compares preferences with a reference, which only the model of a run has; use "
            "objective@model.objective=cross_entropy here"
        )
    checkpoint = _latest_checkpoint(folder)
    start = _step_of(checkpoint)
    if start:
        say(f"training continues from step {start}")
    MetricsFile(folder / "metrics.csv").keep_up_to(start)
    with follow(folder / "metrics.csv", on_metrics):
        if job.trainer.strategy == "single":
            _train_rank(job, folder, checkpoint, keep)
        else:
            arguments = (job.unloaded(), folder, checkpoint, keep)
            run_in_processes(_train_rank, arguments, job.trainer, folder)
    _clean_up(folder)


def _clean_up(folder: Path) -> None:
    """Remove what only a restart needed."""
    for name in ("checkpoints", "evidence"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _train_rank(job: TrainJob, folder: Path, checkpoint: Path | None, keep: Sequence[int] = ()) -> None:
    """Train one rank; every rank of a job runs this with the same arguments."""
    import torch

    from delt_exp.model.isolation import check_isolation
    from delt_exp.trainer.averages import Averages
    from delt_exp.trainer.datamodule import OrderedDataModule
    from delt_exp.trainer.fsdp import without_weights
    from delt_exp.trainer.module import LMModule
    from delt_exp.trainer.states import KeptStates, write_model

    quiet()
    share_threads(job.trainer.devices)
    network = job.recipe.make_network(job.tokenizer, job.seed)
    shell = without_weights(network)
    if job.plan.isolates_documents:
        check_isolation(network)
    if job.trainer.gradient_checkpointing:
        network.gradient_checkpointing_enable()
    if job.trainer.compile:
        network.forward = torch.compile(network.forward)  # not `network.compile()`: `Recorder` watches its calls
    network.train()
    module = LMModule(network, job)
    data = OrderedDataModule(job.plan, job.trainer.micro_batch_items, job.trainer.num_workers, job.reference)
    states = KeptStates(folder / "states", keep, shell, job.tokenizer)
    averages = None if job.averaging is None else Averages(job.averaging, job.plan.num_steps)
    trainer, started = _make_trainer(job, folder, [states, *filter(None, [averages])]), time.monotonic()
    with _interrupts_come_through():
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    state = trainer.strategy.lightning_module_state_dict()
    if trainer.is_global_zero:
        if averages is not None:
            write_model(shell, {**state, **averages.whole}, job.tokenizer, folder / "averaged")
        finish(job, folder, shell, state, module.weights, time.monotonic() - started, trainer)


def _make_trainer(job: TrainJob, folder: Path, keeping: Sequence["pl.Callback"]) -> "pl.Trainer":
    import pytorch_lightning as pl
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    from delt_exp.trainer.callbacks import Checkpoints, StepLog
    from delt_exp.trainer.checkpoint_io import StreamedCheckpoints
    from delt_exp.trainer.fsdp import ShardedStrategy
    from delt_exp.trainer.proof.recorder import Recorder

    settings = job.trainer
    micro_batch_items = job.plan.whole_samples(settings.micro_batch_items)
    accumulate = accumulation(job.plan.batch_items, settings.world_size, micro_batch_items)
    strategies: dict[str, Any] = {"single": "auto", "ddp": "ddp", "fsdp": ShardedStrategy(settings.world_size)}
    recorder = Recorder(folder / "evidence", job.plan.batch_items, sees_embedding=not settings.compile)
    callbacks = [
        recorder,
        StepLog(folder / "metrics.csv", job),
        *keeping,  # before checkpoints, which hold what these have kept
        Checkpoints(folder / "checkpoints", settings.checkpoint_steps, recorder),
    ]
    return pl.Trainer(
        accelerator=settings.accelerator, devices=settings.devices, num_nodes=settings.num_nodes,
        precision=cast(Any, settings.resolved_precision()), strategy=strategies[settings.strategy],
        # Said, because Slurm's variables would pass for ranks that Slurm started.
        plugins=[
            LightningEnvironment() if settings.strategy == "single" else TorchElasticEnvironment(),
            StreamedCheckpoints(),
        ],
        max_epochs=1, accumulate_grad_batches=accumulate, use_distributed_sampler=False, callbacks=callbacks,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder, gradient_clip_val=1.0,  # the module clips by itself; Lightning only has to ask
    )  # fmt: skip


def _latest_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint whose content is what was written; damaged ones are reported and removed."""
    for path in sorted((folder / "checkpoints").glob("step-*.ckpt"), key=_step_of, reverse=True):
        sealed = path.with_suffix(".sha256")
        if sealed.exists() and sealed.read_text() == file_sha256(path):
            return path
        say(f"{path.name} is damaged and not used")
        path.unlink()
    return None


@contextmanager
def _interrupts_come_through() -> Iterator[None]:
    """Lightning turns Ctrl-C into SystemExit and then ignores the signal; here it stays an interrupt."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as leave:
        if isinstance(leave.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


def _step_of(checkpoint: Path | None) -> int:
    return int(checkpoint.stem.removeprefix("step-")) if checkpoint else 0
