"""What documents are to a target at one checkpoint: cosines with its directions, from one pass.

W windows of a batch, S directions, P trainable parameters, K features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.windows import Reads, WindowBatch, Windowing
from delt_exp.errors import DataError
from delt_exp.gradients.precision import Precision, autocast_dtype
from delt_exp.model.objective import CrossEntropy
from delt_exp.scorer.influence.gamma import Gamma
from delt_exp.trainer.trajectory import Checkpoint

if TYPE_CHECKING:
    from torch import Tensor

DIRECTIONS = "directions"  # name of the tensor [S, P] in the file of directions
READS: Reads = "beginning"


@dataclass(frozen=True)
class InfluenceJudge:
    """Gives a document the cosine of its Gamma with each of S directions, the norm of Gamma, and K features.

    A document whose Gamma is 0 has cosine 0 with all. The features are the sketch of the unit Gamma. directions: a file
    that `save_directions` wrote; digest: of its content. num_features: 0 for none. seed: of the sketch.
    """

    dtype: ClassVar[str] = "float32"
    checkpoint: Checkpoint
    gamma: Gamma
    directions: Path
    digest: str
    num_directions: int
    num_features: int
    seed: int
    context_tokens: int
    precision: Precision

    @property
    def width(self) -> int:
        return self.num_directions + 1 + self.num_features

    @property
    def windowing(self) -> Windowing:
        return Windowing(READS, self.context_tokens)

    def open(self, device: str) -> Callable[[WindowBatch], NDArray[Any]]:
        """Load model, moments and directions to `device`."""
        import torch
        from safetensors.torch import load_file

        from delt_exp.gradients.joint import terms_and_features
        from delt_exp.gradients.kernel import per_sample_terms
        from delt_exp.gradients.projection import Projection

        network = self.checkpoint.network().to(device)
        moments = {name: (m.to(device), v.to(device)) for name, (m, v) in self.checkpoint.moments().items()}
        transform = self.gamma.transform(moments, self.checkpoint.step)
        direction_SP = load_file(self.directions, device)[DIRECTIONS]
        projection = Projection(self.num_features, self.seed) if self.num_features else None
        dtype = autocast_dtype(self.precision)

        def judgement(windows: WindowBatch) -> NDArray[Any]:
            arrays = {"input_ids": windows.ids_WT, "labels": windows.labels_WT}
            batch = {key: torch.from_numpy(array).to(device) for key, array in arrays.items()}
            if projection is None:
                return self._numbers(*per_sample_terms(network, batch, CrossEntropy(), direction_SP, dtype, transform))
            found = terms_and_features(network, batch, CrossEntropy(), direction_SP, projection, dtype, transform)
            return self._numbers(*found)

        return judgement

    def _numbers(self, dot_WS: "Tensor", norm_W: "Tensor", *features_WK: "Tensor") -> NDArray[Any]:
        import torch

        if not bool(norm_W.isfinite().all() & dot_WS.isfinite().all()):
            raise DataError(
                f"its gradient is not finite at the checkpoint of step {self.checkpoint.step}; leave the document out, "
                "or lower scorer.warm_up.optimizer.lr: the warm-up run may have diverged"
            )
        norm_W1 = norm_W[:, None]
        units = [torch.where(norm_W1 > 0, part / norm_W1, 0) for part in (dot_WS, *features_WK)]
        return np.asarray(torch.cat([units[0], norm_W1, *units[1:]], dim=1).float().cpu().numpy())
