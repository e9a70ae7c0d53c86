"""Scores for a whole corpus: batches of similar length, shard by shard, shared by any number of processes."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import Tokens
from delt_exp.data_scorer.base import Fitted
from delt_exp.distributed.ranks import Ranks, SingleProcess
from delt_exp.errors import ConfigError, StoreError
from delt_exp.files import read_json, write_json, written_aside
from delt_exp.progress import say, track
from delt_exp.runtime import Runtime

SHARD_DOCUMENTS = 4096


def predict(
    fitted: Fitted, tokens: Tokens, runtime: Runtime, folder: Path, ranks: Ranks | None = None
) -> NDArray[np.float32]:
    """Return a score [N] in annotated units for every document of `tokens`; the same for any number of ranks.

    Finished shards are kept in `folder`, which all ranks must see; a repeated call computes only what is missing.
    Raises StoreError when the folder holds shards of another scorer or corpus, ConfigError for another tokenizer.
    """
    if tokens.meta["tokenizer"] != fitted.tokenizer:
        raise ConfigError(
            f"{tokens.folder} was encoded by tokenizer {tokens.meta['tokenizer']}, the data scorer reads "
            f"{fitted.tokenizer}; encode the corpus with the tokenizer of the annotated documents"
        )
    ranks = ranks or SingleProcess()
    if ranks.rank == 0:
        _claim(folder, {"scorer": fitted.digest, "tokens": tokens.digest, "shard_documents": SHARD_DOCUMENTS})
    ranks.barrier()
    paths = _paths(folder, tokens)
    missing = [shard for shard in range(ranks.rank, len(paths), ranks.world_size) if not paths[shard].exists()]
    _predict_shards(fitted, tokens, runtime, paths, missing, is_shown=ranks.rank == 0)
    ranks.barrier()
    return finished_scores(folder, tokens)


def finished_scores(folder: Path, tokens: Tokens) -> NDArray[np.float32]:
    """Return the scores [N] that `predict` left in `folder`."""
    return np.concatenate([np.load(path, allow_pickle=False) for path in _paths(folder, tokens)])


def _paths(folder: Path, tokens: Tokens) -> list[Path]:
    return [folder / f"scores-{shard:05d}.npy" for shard in range(-(-len(tokens) // SHARD_DOCUMENTS))]


def _predict_shards(
    fitted: Fitted, tokens: Tokens, runtime: Runtime, paths: list[Path], missing: list[int], is_shown: bool
) -> None:
    """Write the missing shards; documents are counted when their first window is done."""
    rows = {shard: _rows(shard, len(tokens)) for shard in missing}
    total = sum(map(len, rows.values()))
    if is_shown and any(path.exists() for path in paths):
        say(f"scoring continues: {sum(path.exists() for path in paths)} of {len(paths)} shards are there")
    with track("scoring the corpus", total, "documents") if is_shown else nullcontext() as task:
        for shard in missing:
            advance = task.advance if task is not None else lambda num_documents: None
            scores = fitted.predict_rows(tokens, rows[shard], runtime, advance)
            with written_aside(paths[shard]) as aside, aside.open("wb") as file:
                np.save(file, scores, allow_pickle=False)


def _rows(shard: int, num_documents: int) -> NDArray[np.intp]:
    return np.arange(shard * SHARD_DOCUMENTS, min((shard + 1) * SHARD_DOCUMENTS, num_documents))


def _claim(folder: Path, source: dict[str, str | int]) -> None:
    """Say in `folder` whose shards it holds."""
    path = folder / "source.json"
    if path.exists() and read_json(path) != source:
        raise StoreError(f"{folder} holds scores of another data scorer or corpus; delete it or choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, source)
