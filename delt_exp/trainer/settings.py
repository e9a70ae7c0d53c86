"""Where and how fast a training run runs."""

from dataclasses import replace
from typing import Literal

from delt_exp.config.fields import Count, NonNegativeInt, settings
from delt_exp.distributed.nodes import check_nodes
from delt_exp.errors import ConfigError


@settings
class TrainerSettings:
    """Where and how fast a training run is computed; only `precision` can change its result beyond rounding.

    (With dropout, `devices` and `micro_batch_items` can too, because masks are drawn for each micro-batch.)

    accelerator: `auto`, `cpu` or `gpu`. strategy: `single`, or `ddp` or `fsdp` (parameters and optimizer state in
    shards) over `devices` processes on each of `num_nodes` nodes. jobs_dir: a folder on all nodes where workers started
    by torchrun take their jobs; null starts processes here, or on the nodes of this Slurm allocation.
    precision: `auto` (bf16 autocast on a GPU that has it, else float32) or a Lightning precision such as `bf16-mixed`.
    micro_batch_items: sequences in one forward pass; gradients accumulate to model.batch_items.
    num_workers: reader processes of each rank. log_steps, checkpoint_steps: optimizer steps between two lines of
    metrics, and between two checkpoints.
    """

    accelerator: Literal["auto", "cpu", "gpu"]
    devices: Count
    num_nodes: Count
    jobs_dir: str | None
    strategy: Literal["single", "ddp", "fsdp"]
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
    micro_batch_items: Count
    num_workers: NonNegativeInt
    compile: bool
    gradient_checkpointing: bool
    log_steps: Count
    checkpoint_steps: Count

    def __post_init__(self) -> None:
        for name in ("devices", "num_nodes"):
            if self.strategy == "single" and getattr(self, name) != 1:
                raise ConfigError(f"trainer.{name} is {getattr(self, name)}; several need trainer=ddp or trainer=fsdp")
        if self.strategy == "single" and self.jobs_dir is not None:
            raise ConfigError(f"trainer.jobs_dir is {self.jobs_dir}; workers need trainer=ddp or trainer=fsdp")
        if self.strategy == "fsdp" and self.precision == "16-mixed":
            raise ConfigError("trainer.precision=16-mixed does not go with trainer=fsdp; use bf16-mixed or 32-true")

    @property
    def world_size(self) -> int:
        """How many processes train together."""
        return self.devices * self.num_nodes

    def check_available(self) -> None:
        """Raise ConfigError when there are not as many GPUs or nodes as asked for."""
        if self.num_nodes > 1 or self.jobs_dir is not None:
            check_nodes(self.devices, self.num_nodes, self.jobs_dir)
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

    def resolved(self) -> "TrainerSettings":
        """Return the settings with the precision that `auto` stands for on this machine."""
        return replace(self, precision=self.resolved_precision())

    def resolved_precision(self) -> Literal["32-true", "bf16-mixed", "16-mixed"]:
        """Return the Lightning precision that `auto` stands for on this machine."""
        if self.precision != "auto":
            return self.precision
        import torch

        on_gpu = self.accelerator != "cpu" and torch.cuda.is_available()
        return "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported() else "32-true"


def accumulation(batch_items: int, world_size: int, micro_batch_items: int) -> int:
    """Return how many micro-batches each rank needs for one global batch."""
    return -(-batch_items // (world_size * micro_batch_items))
