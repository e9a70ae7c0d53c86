"""FSDP2: every rank keeps a shard of parameters, gradients and optimizer state, on GPUs or CPUs.

Checkpoints are those of a training run that is not sharded: one file of whole tensors, with which any trainer goes on.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.strategies import ModelParallelStrategy
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn import Parameter

from delt_exp.errors import ConfigError


def shard(network: Any, mesh: DeviceMesh) -> None:
    """Shard a `transformers` network in place: each transformer block is gathered when it computes, the rest at once.

    Shards stay float32; what is gathered is float32 too, and autocast computes in bf16 as on one device. Raises
    ConfigError for an architecture that does not name its blocks.
    """
    names = network._no_split_modules or ()
    blocks = [module for module in network.modules() if type(module).__name__ in names]
    if not blocks:
        raise ConfigError(
            f"trainer=fsdp shards transformer blocks, and {type(network).__name__} names none; use trainer=ddp"
        )
    for module in (*blocks, network):
        fully_shard(module, mesh=mesh)


def without_weights(network: Any) -> Any:
    """Return a copy whose parameters take no memory; it keeps its class, which sharding changes."""
    on_meta = {id(p): Parameter(p.detach().to("meta"), requires_grad=p.requires_grad) for p in network.parameters()}
    return copy.deepcopy(network, on_meta)


class ShardedStrategy(ModelParallelStrategy):
    """`ModelParallelStrategy` over all ranks, whose checkpoints hold what those of `single` and `ddp` hold.

    The parent can write whole tensors too, but numbers the optimizer's states in the order of the module's parameters.
    torch numbers them by parameter group, and ours put matrices before vectors: what one process began, the parent
    would load into the wrong parameters.
    """

    def __init__(self, world_size: int) -> None:
        super().__init__(data_parallel_size=world_size, tensor_parallel_size=1, save_distributed_checkpoint=False)

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return whole tensors in host memory on rank 0, None for each on the others; all ranks must call it."""
        assert self.model is not None
        return self._whole(self.model.state_dict(keep_vars=True))

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """Return the state as `lightning_module_state_dict` does."""
        state: dict[str, Any] = optimizer.state_dict()
        return {**state, "state": {index: self._whole(values) for index, values in state["state"].items()}}

    def _whole(self, values: Mapping[str, Any]) -> dict[str, Any]:
        whole: dict[int, Tensor | None] = {}  # tied parameters are one object and stay one
        for value in values.values():
            if isinstance(value, DTensor) and id(value) not in whole:
                gathered = value.full_tensor().detach()
                whole[id(value)] = gathered.cpu() if self.is_global_zero else None
        return {name: whole.get(id(value), value) for name, value in values.items()}

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        # Mapped, so that the ranks of a machine do not each hold the whole file in memory.
        return torch.load(Path(checkpoint_path), map_location="cpu", mmap=True, weights_only=weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        assert self.model is not None
        own = self.model.state_dict(keep_vars=True)
        state = {name: part_of(value, own[name]) for name, value in checkpoint["state_dict"].items()}
        self.model.load_state_dict(state, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            state = {
                index: {name: part_of(value, parameters[index]) for name, value in values.items()}
                for index, values in saved["state"].items()
            }
            optimizer.load_state_dict({**saved, "state": state})


def part_of(whole: Tensor, like: Tensor) -> Tensor:
    """Return this rank's part of a tensor that belongs to `like`; a step count belongs to all ranks."""
    if not isinstance(like, DTensor) or whole.shape != like.shape:
        return whole
    part = distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)
    return torch.empty_like(like).copy_(part)  # a copy, because `part` may keep the whole tensor alive
