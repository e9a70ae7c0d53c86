"""Features of documents that stay in the store, so that a later target needs no pass over the corpus.

A folder holds `features-S.npy` [R, K] float32 for each checkpoint S, the sketch of the unit Gamma of every document,
`ids.npy` [R], and `about.json` with what they were made of and by which law.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.files import read_json, write_json, written_aside

if TYPE_CHECKING:
    from torch import Tensor

STAGE = "features"
FORMAT = 1  # bump when the same inputs leave other files
BLOCK_NUMBERS = 1 << 24  # read at once


@dataclass(frozen=True)
class StoredFeatures:
    """The features of a corpus under the checkpoints of a warm-up run."""

    folder: Path

    @cached_property
    def about(self) -> dict[str, Any]:
        """`steps` of the checkpoints, `documents`, `gamma`, `context_tokens`, and `projection` with all that it is."""
        about: dict[str, Any] = read_json(self.folder / "about.json")
        return about

    def cosines(self, step: int, target_SK: "Tensor", projection: Mapping[str, Any]) -> NDArray[np.float64]:
        """Return [R, S] estimated cosines with the directions that `target_SK` are the features of.

        projection: what `Projection.describe` says of them. Raises ConfigError where it is not that of the documents.
        """
        import torch

        from delt_exp.gradients.projection import inner_products

        features_RK = np.load(self.folder / f"features-{step}.npy", mmap_mode="r", allow_pickle=False)
        size = max(1, BLOCK_NUMBERS // features_RK.shape[1])
        blocks = []
        for start in range(0, len(features_RK), size):
            block = torch.from_numpy(features_RK[start : start + size].copy())
            blocks.append(inner_products(block, self.about["projection"], target_SK, projection))
        return np.asarray(torch.cat(blocks).numpy())


def write_features(folder: Path, step: int, numbers_RN: NDArray[Any], first: int) -> None:
    """Write the features of a checkpoint, the columns from `first` on, in blocks: they may be larger than memory."""
    shape = (len(numbers_RN), numbers_RN.shape[1] - first)
    size = max(1, BLOCK_NUMBERS // shape[1])
    with written_aside(folder / f"features-{step}.npy") as aside:
        out = np.lib.format.open_memmap(aside, "w+", np.float32, shape)
        for start in range(0, len(out), size):
            out[start : start + size] = numbers_RN[start : start + size, first:]
        out.flush()


def write_about(folder: Path, ids: NDArray[np.uint64], about: Mapping[str, Any]) -> None:
    """Write what the features are of."""
    np.save(folder / "ids.npy", np.asarray(ids))
    write_json(folder / "about.json", {**about, "documents": len(ids)})
