"""What one process of a group does; without transformers, which would take most of the time of starting it."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import torch.distributed as dist
from delt_exp.data_scorer.infer import predict
from torch import Tensor, nn

from delt_exp.corpus.tokens import Tokens
from delt_exp.data_scorer import infer
from delt_exp.data_scorer.fitted import FittedScorer, Reading
from delt_exp.data_scorer.regressor import Regressor
from delt_exp.runtime import Runtime


class Body(nn.Module):
    """A causal body of one layer: the tanh of a linear map of the mean embedding up to each position."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix = nn.Embedding(257, 16), nn.Linear(16, 16)

    def forward(self, input_ids: Tensor, use_cache: bool) -> SimpleNamespace:
        mean_WTC = self.embed(input_ids).cumsum(1) / torch.arange(1, input_ids.shape[1] + 1)[:, None]
        return SimpleNamespace(last_hidden_state=torch.tanh(self.mix(mean_WTC)))


def scorer(tokenizer: str) -> FittedScorer:
    """The same random scorer in every process."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        regressor = Regressor(Body(), 16, "last")
        nn.init.normal_(regressor.head.weight)
    return FittedScorer(regressor, Reading(100.0, 5.0, 16, "32-true", tokenizer, ["weights"], "last"))


class Gloo:
    def __init__(self) -> None:
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()

    def barrier(self) -> None:
        dist.barrier()


def run_rank(rank: int, tokens_folder: Path, folder: Path) -> None:
    """Process `rank` takes part in every group large enough to have it."""
    torch.set_num_threads(1)
    infer.SHARD_DOCUMENTS = 4  # 25 documents: 7 shards, which neither 2 nor 3 divide
    tokens = Tokens(tokens_folder)
    for world_size in (1, 2, 3):
        if rank < world_size:
            meet = f"file://{folder}/meet{world_size}"
            dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=world_size)
            shards = folder / f"of{world_size}"
            scores = predict(scorer(tokens.meta["tokenizer"]), tokens, Runtime("cpu", 4096), shards, Gloo())
            np.save(folder / f"{rank}-of-{world_size}.npy", scores)
            dist.destroy_process_group()
