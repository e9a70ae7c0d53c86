"""A few bits that stand for all bits of the tensors of a network, whole or in shards."""

from functools import cache

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from delt_exp.trainer.proof.order import multipliers


def fingerprint(tensors: list[Tensor]) -> Tensor:
    """Return 64 bits of the bits of float32 tensors: sums of them, mixed; those of shards add up to that of the whole.

    Two states of a network agree by chance with a probability of about 2^-63.
    """
    sums = torch.stack([_bits(tensor).sum(dtype=torch.int64) for tensor in tensors])
    return (sums * _mixers(len(sums), sums.device)).sum()


@cache
def _mixers(count: int, device: torch.device) -> Tensor:
    return torch.from_numpy(multipliers(count)[0]).to(device)


def _bits(tensor: Tensor) -> Tensor:
    """Rows are summed as pairs of numbers, 60 times as fast; a vector may be cut into shards between two of a pair."""
    in_pairs = tensor.ndim > 1 and tensor.shape[-1] % 2 == 0
    return tensor.contiguous().view(torch.int64 if in_pairs else torch.int32)


def local(tensor: Tensor) -> Tensor:
    """Return this rank's part of a tensor that may be in shards."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
