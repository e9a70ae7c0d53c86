"""One vector per preference: how the gradients of its two answers differ.

The inner products of such vectors say how much the reward of one preference moves with that of another. D pairs,
R = 2 D rows (chosen, rejected, chosen ...), K features.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.identity import identity
from delt_exp.corpus.pairs import PairBatch
from delt_exp.corpus.tokens import Tokens
from delt_exp.errors import DataError
from delt_exp.files import digest
from delt_exp.gradients.precision import Precision, autocast_dtype
from delt_exp.mapping.map_documents import map_items
from delt_exp.mapping.pairs import PairItems
from delt_exp.model.lora import Adapters, adapted
from delt_exp.model.objective import CrossEntropy
from delt_exp.pretrained.loading import pretrained_fingerprint
from delt_exp.proxy.base import ProxyModel
from delt_exp.resources import Resources

FILE = "features.npy"


@dataclass(frozen=True)
class PairGradientJudge:
    """[D, K] sketches of grad log p(chosen) - grad log p(rejected) under the model `name`.

    adapters: None takes gradients of all parameters. Otherwise of low-rank adapters alone: those that the model was
    trained with, where they lie beside it, or fresh ones with these settings, whose second factor alone has a gradient.

    normalise: `response`, the difference of the two unit gradients; `pair`, the unit difference of the gradients;
    `none`, their difference as it is. A pair of the same answers has 0. precision: of the forward passes. log p is
    summed over the tokens of an answer. Raises DataError for an answer whose gradient is 0, which has no direction.
    """

    dtype: ClassVar[str] = "float32"
    name: str
    revision: str | None
    width: int
    seed: int
    normalise: str
    context_tokens: int
    adapters: Adapters | None = None
    precision: Precision = "fp32"

    def open(self, device: str) -> Callable[[PairBatch], NDArray[Any]]:
        import torch

        from delt_exp.gradients.features import per_sample_features
        from delt_exp.gradients.projection import Projection
        from delt_exp.gradients.signed_rows import ROW_WEIGHTS, SignedRows

        network = adapted(self.name, self.revision, self.adapters, self.seed).to(device)
        objective, projection = SignedRows(CrossEntropy(), 1), Projection(self.width, self.seed)
        dtype = autocast_dtype(self.precision)

        def judgement(pairs: PairBatch) -> NDArray[Any]:
            arrays = {"input_ids": pairs.ids_RT, "labels": pairs.labels_RT, ROW_WEIGHTS: -np.ones(len(pairs.ids_RT))}
            batch = {key: torch.from_numpy(array).to(device) for key, array in arrays.items()}
            features_RK = per_sample_features(network, batch, objective, projection, autocast_dtype=dtype)
            # Rounding must not give a pair of identical answers a direction, least of all one of length 1.
            phi_DK = differences(features_RK.cpu().numpy(), self.normalise) * ~is_identical(pairs)[:, None]
            return phi_DK.astype(self.dtype)

        return judgement


def is_identical(pairs: PairBatch) -> NDArray[np.bool_]:
    """Return [D] whether both sides are the same tokens."""
    same_DT = (pairs.ids_RT[::2] == pairs.ids_RT[1::2]) & (pairs.labels_RT[::2] == pairs.labels_RT[1::2])
    return np.asarray(same_DT.all(1))


def differences(features_RK: NDArray[Any], normalise: str) -> NDArray[np.float64]:
    """Return [D, K] of the gradients of answers; see `PairGradientJudge`."""
    features_RK = features_RK.astype(np.float64)
    if not np.isfinite(features_RK).all():
        raise DataError("the gradient of an answer is not finite; check the model's weights and this pair")
    if normalise == "response":
        lengths_R1 = np.linalg.norm(features_RK, axis=1, keepdims=True)
        if not lengths_R1.all():
            raise DataError(
                "the gradient of an answer is 0, so it has no direction; use selector.normalise=pair, or a model that "
                "has not saturated"
            )
        features_RK = features_RK / lengths_R1
    phi_DK = features_RK[0::2] - features_RK[1::2]
    if normalise == "pair":
        lengths_D1 = np.linalg.norm(phi_DK, axis=1, keepdims=True)
        phi_DK /= np.where(lengths_D1 > 0, lengths_D1, 1)
    return phi_DK


def pair_features_stage(
    resources: Resources, tokens: Tokens, rows: NDArray[np.intp], model: ProxyModel, judge: PairGradientJudge
) -> NDArray[np.float32]:
    """Return [N, K], on disk: what `judge` says of the preferences `rows`; a killed computation continues."""
    inputs = {
        "judge": {**identity(judge), "name": None},  # the same weights may lie elsewhere
        "model": _weights(model),
        "tokens": tokens.digest,
        "rows": digest(np.ascontiguousarray(rows, np.int64)),
        "format": 2,
    }

    def build(folder: Path) -> None:
        out = np.lib.format.open_memmap(folder / FILE, "w+", np.float32, (len(rows), judge.width))
        items = PairItems(tokens, rows, judge)
        map_items(resources, items, folder / "shards", "gradients of preferences", out)
        out.flush()
        shutil.rmtree(folder / "shards", ignore_errors=True)

    use = resources.store.get("pair_features", inputs, build, resumable=True)
    return np.load(use.path / FILE, mmap_mode="r")


def _weights(model: ProxyModel) -> str:
    return pretrained_fingerprint(model.name, model.revision)
