"""A corpus scored by several processes."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delt_exp.data_scorer.fitted import FittedScorer
from delt_exp.data_scorer.infer import predict
from delt_exp.lqs.ranks import ProcessGroup
from delt_exp.processes import join_group, run_in_processes
from delt_exp.runtime import Runtime
from delt_exp.tokens import Tokens


def run_inference(
    fitted: Path, tokens: Tokens, runtime: Runtime, shards: Path, devices: int, num_nodes: int
) -> NDArray[np.float32]:
    """Return the scores [N] that the data scorer in `fitted` gives, the same for any number of processes."""
    if devices * num_nodes == 1:
        return predict(FittedScorer.load(fitted), tokens, runtime, shards)
    arguments = fitted, tokens.folder, runtime, shards
    scores: NDArray[np.float32] = run_in_processes(_predict_rank, arguments, devices, num_nodes, fitted)
    return scores


def _predict_rank(fitted: Path, tokens: Path, runtime: Runtime, shards: Path) -> NDArray[np.float32] | None:
    is_first = join_group(runtime.torch_device())
    scores = predict(FittedScorer.load(fitted), Tokens(tokens), runtime, shards, ProcessGroup())
    return scores if is_first else None
