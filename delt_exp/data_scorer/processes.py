"""A corpus scored by several processes."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import Tokens
from delt_exp.data_scorer.base import DataScorer
from delt_exp.data_scorer.infer import finished_scores, predict
from delt_exp.distributed.processes import Spread, join_group, run_in_processes
from delt_exp.distributed.ranks import ProcessGroup
from delt_exp.runtime import Runtime


def run_inference(
    data_scorer: DataScorer, fitted: Path, tokens: Tokens, runtime: Runtime, shards: Path, spread: Spread
) -> NDArray[np.float32]:
    """Return the scores [N] that `data_scorer` gives as fitted in `fitted`, the same for any number of processes."""
    if spread.devices * spread.num_nodes == 1 and spread.jobs_dir is None:
        return predict(data_scorer.load(fitted), tokens, runtime, shards)
    arguments = data_scorer, fitted, tokens.folder, runtime, shards
    run_in_processes(_predict_rank, arguments, spread, fitted)
    return finished_scores(shards, tokens)


def _predict_rank(data_scorer: DataScorer, fitted: Path, tokens: Path, runtime: Runtime, shards: Path) -> None:
    join_group(runtime.torch_device())
    predict(data_scorer.load(fitted), Tokens(tokens), runtime, shards, ProcessGroup())
