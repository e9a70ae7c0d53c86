"""Trains one language model on one plan, on one process or many, and can be killed at any moment.

The folder of a training holds `metrics.csv`, `checkpoints/` (while it runs), `consumed.npy` (which sequence each step
consumed), `model/` (Hugging Face format, with tokenizer) and `result.json`.
"""

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from delt_exp.checks import check_choice, check_integer
from delt_exp.errors import ConfigError
from delt_exp.files import file_sha256, read_json, write_json
from delt_exp.metrics_file import MetricsFile, follow
from delt_exp.model.recipe import Recipe, num_parameters
from delt_exp.nodes import check_nodes
from delt_exp.plan import Plan
from delt_exp.processes import run_in_processes, share_threads
from delt_exp.progress import say
from delt_exp.runtime import quiet
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.tokens import Tokens

if TYPE_CHECKING:
    import pytorch_lightning as pl

FORMAT = 2  # bump when the same job trains another model
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
OnMetrics = Callable[[Mapping[str, float]], None]


@dataclass(frozen=True)
class TrainerSettings:
    """Where and how fast a training runs; only `precision` can change its result beyond rounding.

    (In a network with dropout the masks follow the micro-batches, so there `devices` and `micro_batch_items` do too.)

    accelerator: `auto`, `cpu` or `gpu`. strategy: `single`, or `ddp` or `fsdp` (parameters and optimizer state in
    shards) over `devices` processes on each of `num_nodes` nodes of a Slurm allocation (1 needs no Slurm).
    precision: `auto` (bf16 autocast on a GPU that has it, else float32) or a Lightning precision such as `bf16-mixed`.
    micro_batch_items: sequences in one forward pass; gradients accumulate to model.batch_items.
    num_workers: reader processes of each rank. log_steps, checkpoint_steps: optimizer steps between lines and restarts.
    """

    accelerator: str
    devices: int
    num_nodes: int
    strategy: str
    precision: str
    micro_batch_items: int
    num_workers: int
    compile: bool
    gradient_checkpointing: bool
    log_steps: int
    checkpoint_steps: int

    def __post_init__(self) -> None:
        check_choice("trainer.strategy", self.strategy, ("single", "ddp", "fsdp"))
        check_choice("trainer.accelerator", self.accelerator, ("auto", "cpu", "gpu"))
        check_choice("trainer.precision", self.precision, PRECISIONS)
        check_integer("trainer.num_workers", self.num_workers, at_least=0)
        for name in ("devices", "num_nodes"):
            if self.strategy == "single" and getattr(self, name) != 1:
                raise ConfigError(f"trainer.{name} is {getattr(self, name)}; several need trainer=ddp or trainer=fsdp")
        if self.strategy == "fsdp" and self.precision == "16-mixed":
            raise ConfigError("trainer.precision=16-mixed does not go with trainer=fsdp; use bf16-mixed or 32-true")
        for name in ("devices", "num_nodes", "micro_batch_items", "log_steps", "checkpoint_steps"):
            check_integer(f"trainer.{name}", getattr(self, name), at_least=1)

    @property
    def world_size(self) -> int:
        """How many processes train together."""
        return self.devices * self.num_nodes

    def check_available(self) -> None:
        """Raise ConfigError when there are not as many GPUs or nodes as asked for."""
        if self.num_nodes > 1:
            check_nodes(self.num_nodes)
        if self.accelerator == "cpu":
            return
        import torch

        if self.accelerator == "auto" and not torch.cuda.is_available():
            return
        visible = torch.cuda.device_count()
        if visible < self.devices:
            raise ConfigError(
                f"trainer.accelerator={self.accelerator} with trainer.devices={self.devices}, but {visible} GPUs are "
                "visible; use trainer=cpu, or trainer.devices=... of them"
            )

    def resolved_precision(self) -> str:
        """Return the Lightning precision that `auto` stands for on this machine."""
        if self.precision != "auto":
            return self.precision
        import torch

        on_gpu = self.accelerator != "cpu" and torch.cuda.is_available()
        return "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported() else "32-true"


@dataclass(frozen=True, eq=False)
class TrainJob:
    """Everything a training needs; travels to other processes as it is."""

    recipe: Recipe
    plan: Plan
    tokenizer: Tokenizer
    trainer: TrainerSettings
    seed: int


def train(job: TrainJob, folder: Path, on_metrics: OnMetrics | None = None) -> None:
    """Train `job` into `folder`, continuing from the last checkpoint found there.

    on_metrics gets every line of metrics.csv as it is written, those before a restart included. Raises ConfigError
    for a schedule or context that does not fit, before any step.
    """
    if (folder / "result.json").exists():  # killed between the last step and the renaming of the folder
        _clean_up(folder)
        return
    job.recipe.schedule.warmup(job.plan.num_steps)
    checkpoint = _latest_checkpoint(folder)
    start = _step_of(checkpoint)
    if start:
        say(f"training continues from step {start}")
    MetricsFile(folder / "metrics.csv").keep_up_to(start)
    with follow(folder / "metrics.csv", on_metrics):
        if job.trainer.strategy == "single":
            _train_rank(job, folder, checkpoint)
        else:
            without_maps = replace(job, plan=replace(job.plan, tokens=Tokens(job.plan.tokens.folder)))
            run_in_processes(
                _train_rank, (without_maps, folder, checkpoint), job.trainer.devices, job.trainer.num_nodes, folder
            )  # fmt: skip
    _clean_up(folder)


def _clean_up(folder: Path) -> None:
    """Remove what only a restart needed."""
    for name in ("checkpoints", "consumed"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _train_rank(job: TrainJob, folder: Path, checkpoint: Path | None) -> None:
    """Train one rank; every rank of a job runs this with the same arguments."""
    from delt_exp.datamodule import OrderedDataModule
    from delt_exp.fsdp import without_weights
    from delt_exp.model.module import LMModule

    quiet()
    share_threads(job.trainer.devices)
    network = job.recipe.make_network(job.tokenizer, job.seed)
    shell = without_weights(network) if job.trainer.strategy == "fsdp" else network
    if job.trainer.gradient_checkpointing:
        network.gradient_checkpointing_enable()
    if job.trainer.compile:
        network.compile()
    network.train()
    module = LMModule(network, job.recipe, job.plan.num_steps, job.seed)
    data = OrderedDataModule(job.plan, job.trainer.micro_batch_items, job.trainer.num_workers)
    trainer, started = _make_trainer(job, folder), time.monotonic()
    with _interrupts_come_through():
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    state = trainer.strategy.lightning_module_state_dict()
    if trainer.is_global_zero:
        _finish(job, folder, shell, state, time.monotonic() - started, trainer)


def _make_trainer(job: TrainJob, folder: Path) -> "pl.Trainer":
    import pytorch_lightning as pl
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    from delt_exp.datamodule import accumulation
    from delt_exp.fsdp import ShardedStrategy
    from delt_exp.training_log import Checkpoints, ConsumedLog, StepLog

    settings = job.trainer
    accumulate = accumulation(job.plan.batch_items, settings.world_size, settings.micro_batch_items)
    strategies: dict[str, Any] = {"single": "auto", "ddp": "ddp", "fsdp": ShardedStrategy(settings.world_size)}
    consumed = ConsumedLog(folder / "consumed", job.plan.batch_items)
    callbacks = [
        consumed,
        StepLog(folder / "metrics.csv", settings.log_steps, job.plan.targets_per_step()),
        Checkpoints(folder / "checkpoints", settings.checkpoint_steps, consumed),
    ]
    return pl.Trainer(
        accelerator=settings.accelerator, devices=settings.devices, num_nodes=settings.num_nodes,
        precision=cast(Any, settings.resolved_precision()), strategy=strategies[settings.strategy],
        # Said, because Slurm's variables would pass for ranks that Slurm started.
        plugins=LightningEnvironment() if settings.strategy == "single" else TorchElasticEnvironment(),
        max_epochs=1, accumulate_grad_batches=accumulate, use_distributed_sampler=False, callbacks=callbacks,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder, gradient_clip_val=1.0,  # the module clips by itself; Lightning only has to ask
    )  # fmt: skip


def _finish(
    job: TrainJob, folder: Path, shell: Any, state: Mapping[str, Any], seconds: float, trainer: "pl.Trainer"
) -> None:
    """Write model, proof of order and summary; remove what only a restart needed."""
    import numpy as np

    from delt_exp.training_log import merge_consumed
    from delt_exp.verify import order_mismatch

    weights = {name.removeprefix("network."): value.cpu() for name, value in state.items()}
    shell.save_pretrained(folder / "model", state_dict=weights)
    for file in job.tokenizer.folder.iterdir():
        if file.name not in ("entry.json", "meta.json"):
            shutil.copy(file, folder / "model")
    consumed = merge_consumed(folder / "consumed")
    np.save(folder / "consumed.npy", consumed)
    mismatch = order_mismatch(job.plan, consumed)
    if mismatch:
        say(f"order NOT verified: {mismatch}")
    parameters, tokens = num_parameters(shell.parameters()), int(job.plan.targets_per_step().sum())
    rows = MetricsFile(folder / "metrics.csv").rows()
    result = {
        "order_verified": not mismatch,
        "order_mismatch": mismatch,
        "steps": job.plan.num_steps,
        "tokens": tokens,
        "parameters": parameters,
        "flops": 6 * parameters * tokens,  # Kaplan et al. 2020, without attention
        "final_train_loss": _final_loss(rows),
        "seconds_since_restart": seconds,
        "precision": job.trainer.resolved_precision(),
        "world_size": trainer.world_size,
        "device": trainer.strategy.root_device.type,
    }
    write_json(folder / "result.json", result)


def _final_loss(rows: list[dict[str, float]]) -> float:
    """Return the mean training loss over the last tenth of the tokens; a single batch says little."""
    before = [0.0, *(row["tokens"] for row in rows[:-1])]
    sizes = [row["tokens"] - earlier for row, earlier in zip(rows, before, strict=True)]
    is_late = [row["tokens"] > 0.9 * rows[-1]["tokens"] for row in rows]
    late = [(n, row["train/loss"]) for n, row, late in zip(sizes, rows, is_late, strict=True) if late]
    return sum(n * loss for n, loss in late) / sum(n for n, _ in late)


def training_result(folder: Path) -> dict[str, Any]:
    """Return what a finished training says of itself."""
    result: dict[str, Any] = read_json(folder / "result.json")
    return result


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
