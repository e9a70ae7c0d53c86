"""What one process of a group does; a module of its own, so that starting it imports little."""

from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from delt_exp.data_scorer import infer
from delt_exp.data_scorer.fitted import FittedScorer
from delt_exp.data_scorer.infer import predict
from delt_exp.runtime import Runtime
from delt_exp.tokens import Tokens


class Gloo:
    def __init__(self) -> None:
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()

    def barrier(self) -> None:
        dist.barrier()


def run_rank(rank: int, fitted: FittedScorer, tokens_folder: Path, folder: Path) -> None:
    """Process `rank` takes part in every group large enough to have it."""
    torch.set_num_threads(1)
    infer.SHARD_DOCUMENTS = 4  # 25 documents: 7 shards, which neither 2 nor 3 divide
    for world_size in (1, 2, 3):
        if rank < world_size:
            meet = f"file://{folder}/meet{world_size}"
            dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=world_size)
            scores = predict(fitted, Tokens(tokens_folder), Runtime("cpu", 4096), folder / f"of{world_size}", Gloo())
            np.save(folder / f"{rank}-of-{world_size}.npy", scores)
            dist.destroy_process_group()
