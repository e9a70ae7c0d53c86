"""The same scores from one, two and three processes with uneven shares."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from delt_exp.lqs.annotate import annotate
from delt_exp.lqs.ranks import ProcessGroup
from tests.lqs.tiny import tiny_model, tiny_run, tiny_settings


def run_rank(rank: int, world_size: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world_size)
    ranks = ProcessGroup()
    result = annotate(
        tiny_model(), **tiny_run(5, 4), settings=tiny_settings(trajectory="auto"), ranks=ranks, state_dir=Path(folder)
    )
    torch.save([result.scores_N, result.dot_SN, result.norm_SN, result.train_loss_T], f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_any_number_of_processes_gives_the_scores_of_one(world_size: int, tmp_path: Path) -> None:
    """Five samples a batch, six target samples and four proxies do not divide by two or three; one share is short."""
    mp.spawn(run_rank, (world_size, str(tmp_path)), nprocs=world_size)
    alone = annotate(tiny_model(), **tiny_run(5, 4), settings=tiny_settings())
    expected = [alone.scores_N, alone.dot_SN, alone.norm_SN, alone.train_loss_T]
    results = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(world_size)]
    for result in results:
        for found, of_one, of_first in zip(result, expected, results[0], strict=True):
            assert torch.allclose(found, of_one, rtol=1e-4, atol=1e-7)
            assert torch.equal(found, of_first)
