"""Ridge regression on what the proxy sees in a document (Hoerl and Kennard 1970). D documents, C features."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from delt_exp.config.fields import PositiveFloat, Seed, Several, check_value, settings
from delt_exp.corpus.tokens import Tokens
from delt_exp.data_scorer.annotated import Annotated, check_count, check_folds, folds_of, prepare
from delt_exp.data_scorer.evidence import write_fit
from delt_exp.data_scorer.settings import Precision
from delt_exp.errors import ConfigError, DataError
from delt_exp.model.cost import ModelSize, PhaseCost, Sizes, forward_cost
from delt_exp.progress import track
from delt_exp.proxy.base import ProxyModel
from delt_exp.runtime import Runtime, quiet

if TYPE_CHECKING:
    from delt_exp.data_scorer.fitted import FittedScorer
    from delt_exp.data_scorer.regressor import Regressor

Features = NDArray[np.float64]
CONSTANT = 1e-6  # a deviation below this share of the size is rounding of float32


@settings
class Ridge:
    """Learns scores as a linear function of the frozen proxy's hidden states.

    The features of a document are the states of the embedding and of every layer, each averaged over all its positions
    and standardised over the annotated documents. Labels are standardised and clipped to `clip_sigma` standard
    deviations. penalties: those to choose from by the error of leaving out one document, in units of the mean
    eigenvalue of the features' Gram matrix. folds: of the validation; each is predicted from the others, with a penalty
    that is chosen without it. seed: of the folds.
    """

    VERSION: ClassVar[int] = 1
    penalties: Sequence[PositiveFloat]
    folds: Several
    clip_sigma: PositiveFloat
    seed: Seed

    def __post_init__(self) -> None:
        if not self.penalties:
            raise ConfigError("data_scorer.penalties is empty; give at least one number above 0")

    def check(self, proxy: ProxyModel, num_annotated: int) -> None:
        """Raise ConfigError for too few documents, or more folds than documents; any proxy will do."""

        check_count(num_annotated)
        check_folds(self.folds, num_annotated)

    def fit(
        self,
        proxy: ProxyModel,
        tokens: Tokens,
        rows: ArrayLike,
        labels: ArrayLike,
        folder: Path,
        runtime: Runtime,
        precision: str,
    ) -> "FittedScorer":
        """Return a scorer that predicts `labels` [D] of the documents `rows` [D]: see `DataScorer`."""
        from delt_exp.data_scorer.fitted import FittedScorer, RegressorReading, save_weights

        check_value("trainer.precision", precision, Precision)
        started = time.monotonic()
        quiet()
        annotated = prepare(tokens, np.asarray(rows), np.asarray(labels), self.clip_sigma)
        fold_D = folds_of(annotated.tokens.ids[annotated.rows], self.folds, self.seed)
        body, states_DC = _read(proxy, annotated, precision, runtime)
        features_DC, scale_C = standardised(states_DC)
        standardised_D = annotated.standardised.astype(np.float64)
        weights_C, penalty = ridge(features_DC, standardised_D, self.penalties)
        predicted_D = annotated.mean + annotated.std * out_of_fold(features_DC, standardised_D, fold_D, self.penalties)
        regressor = _regressor(body, weights_C * scale_C, float(standardised_D.mean()), states_DC.mean(0))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "fit.json").unlink(missing_ok=True)  # of an earlier fit, whose weights are about to go
        weights, tokenizer = save_weights(regressor, folder), tokens.meta["tokenizer"]
        reading = RegressorReading(
            annotated.mean, annotated.std, proxy.context_tokens, precision, tokenizer, weights, regressor.layers
        )
        details = {"penalty": penalty, "seconds": time.monotonic() - started, "reading": asdict(reading)}
        how = np.full(len(fold_D), "out of fold")
        write_fit(folder, annotated, predicted_D, how, "out of fold", details)
        return FittedScorer(folder, reading, regressor)

    def load(self, folder: Path) -> "FittedScorer":
        """Return what `fit` wrote to `folder`."""
        from delt_exp.data_scorer.fitted import FittedScorer

        return FittedScorer.load(folder)

    def forecast(self, size: ModelSize, sizes: Sizes, num_annotated: int, batch_tokens: int) -> list[PhaseCost]:
        """Return what reading the annotated documents and the corpus costs; solving for the weights is not counted."""
        tokens, documents = sizes.num_tokens, len(sizes.lengths_N)
        annotated_tokens = int(num_annotated * tokens / documents)
        return [
            forward_cost("data scorer", size, num_annotated, annotated_tokens, batch_tokens),
            forward_cost("inference", size, documents, tokens, batch_tokens),
        ]


def standardised(states_DC: Features) -> tuple[Features, NDArray[np.float64]]:
    """Return features of mean 0 and deviation 1, and by what [C] they were multiplied: 0 for those that do not vary.

    Raises DataError where none varies, and for states that are not finite.
    """
    if not np.isfinite(states_DC).all():
        row = np.flatnonzero(~np.isfinite(states_DC).all(1))[0]
        raise DataError(
            f"the proxy's hidden states of annotated document {row} are not all finite: use another proxy, or "
            "trainer.precision=32-true"
        )
    deviation_C = states_DC.std(0)
    varies_C = deviation_C > CONSTANT * np.abs(states_DC).max(0)
    if not varies_C.any():
        raise DataError("the proxy sees the same in all annotated documents: use another proxy or annotate others")
    scale_C = np.divide(1.0, deviation_C, out=np.zeros_like(deviation_C), where=varies_C)
    return (states_DC - states_DC.mean(0)) * scale_C, scale_C


def ridge(features_DC: Features, standardised_D: Features, penalties: Sequence[float]) -> tuple[Features, float]:
    """Return the weights w [C] that minimise |y - Xw - b|^2 + p |w|^2 over w and b, and the chosen penalty.

    p is that of `penalties`, times the mean eigenvalue of the centred Gram matrix, with the smallest sum of squared
    errors on documents left out one at a time. No refit is needed: with the hat matrix H, which maps y to its fit, the
    error without document i is (y - Hy)_i / (1 - H_ii) (Allen 1974).
    """
    centred_D = standardised_D - standardised_D.mean()
    left_DK, singular_K, right_KC = np.linalg.svd(features_DC - features_DC.mean(0), full_matrices=False)
    eigenvalues_K, dots_K = singular_K**2, left_DK.T @ centred_D
    unit = eigenvalues_K.sum() / len(standardised_D)

    def left_out_error(penalty: float) -> float:
        shrinkage_K = eigenvalues_K / (eigenvalues_K + penalty * unit)
        leverage_D = left_DK**2 @ shrinkage_K + 1 / len(standardised_D)
        return float(np.square((centred_D - left_DK @ (shrinkage_K * dots_K)) / (1 - leverage_D)).sum())

    chosen = min(penalties, key=left_out_error)
    return right_KC.T @ (singular_K / (eigenvalues_K + chosen * unit) * dots_K), chosen


def out_of_fold(
    features_DC: Features, standardised_D: Features, fold_D: NDArray[np.intp], penalties: Sequence[float]
) -> Features:
    """Return [D] predictions of each document by the weights learnt without its fold, around the mean of all features.

    The intercept of a fit is left out: the mean of the other folds falls where that of this fold rises, which would
    make a scorer that learned nothing look like one that learned the opposite.
    """
    predicted_D, centred_DC = np.empty(len(standardised_D)), features_DC - features_DC.mean(0)
    for fold in np.unique(fold_D):
        is_in = fold_D == fold
        weights_C, _ = ridge(features_DC[~is_in], standardised_D[~is_in], penalties)
        predicted_D[is_in] = centred_DC[is_in] @ weights_C
    return predicted_D


def _read(proxy: ProxyModel, annotated: "Annotated", precision: str, runtime: Runtime) -> tuple[Any, Features]:
    """Return a copy of the proxy's body, and [D, C] what it sees: the mean hidden states of all layers."""
    from functools import partial

    from delt_exp.data_scorer.averages import average_over_positions
    from delt_exp.data_scorer.regressor import body_of, summed_states

    body = body_of(proxy.network).to(runtime.torch_device()).eval()
    states = partial(summed_states, body, "all")
    with track("reading the annotated documents", len(annotated.rows), "documents") as task:
        return body, average_over_positions(
            states, annotated.tokens, annotated.rows, proxy.context_tokens, precision, runtime, task.advance
        )


def _regressor(body: Any, weights_C: Features, mean_label: float, mean_states_C: Features) -> "Regressor":
    """Return the regressor that gives the mean label at the mean states."""
    import torch

    from delt_exp.data_scorer.regressor import Regressor

    regressor = Regressor(body, len(weights_C), "all")
    with torch.no_grad():
        regressor.head.weight.copy_(torch.from_numpy(weights_C)[None])
        regressor.head.bias.fill_(mean_label - float(weights_C @ mean_states_C))
    return regressor.eval()
