"""The same scores from one, two and three processes with uneven shares."""

import multiprocessing
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from delt_exp.distributed.ranks import ProcessGroup
from delt_exp.scorer.lqs.annotate import annotate
from tests.scorer.lqs import tiny
from tests.scorer.lqs.tiny import tiny_model, tiny_run, tiny_settings

WORLD_SIZES = (1, 2, 3)


def run_rank(rank: int, folder: Path) -> None:
    """Process `rank` takes part in every group large enough to have it."""
    torch.set_num_threads(1)
    for world_size in WORLD_SIZES:
        if rank < world_size:
            meet = f"file://{folder}/meet{world_size}"
            dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=world_size)
            state_dir = folder / f"state{world_size}"
            settings = tiny_settings()
            result = annotate(
                tiny_model(), **tiny_run(5, 4), settings=settings, ranks=ProcessGroup(), state_dir=state_dir
            )
            terms = [result.scores("lqs"), result.dot_SN, result.norm_SN, result.train_loss_T, result.target_loss_T]
            torch.save(terms, folder / f"{rank} of {world_size}.pt")
            dist.destroy_process_group()


@pytest.mark.slow
def test_any_number_of_processes_gives_the_scores_of_one(tmp_path: Path) -> None:
    """Five samples a batch, six target samples and four documents do not divide by two or three; one share is short."""
    multiprocessing.set_forkserver_preload([tiny.__name__])  # torch is loaded once for all ranks
    mp.start_processes(run_rank, (tmp_path,), nprocs=max(WORLD_SIZES), start_method="forkserver")
    alone = annotate(tiny_model(), **tiny_run(5, 4), settings=tiny_settings())
    expected = [alone.scores("lqs"), alone.dot_SN, alone.norm_SN, alone.train_loss_T, alone.target_loss_T]
    for world_size in WORLD_SIZES:
        paths = [tmp_path / f"{rank} of {world_size}.pt" for rank in range(world_size)]
        results = [torch.load(path, weights_only=True) for path in paths]
        for result in results:
            assert all(map(torch.equal, result, results[0]))
            for found, of_one in zip(result, expected, strict=True):
                assert torch.allclose(found, of_one, rtol=1e-4, atol=1e-7)
