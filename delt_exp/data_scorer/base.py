"""What every data scorer promises; imports no torch, so that settings are checked at once."""

from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from delt_exp.corpus.tokens import Tokens
from delt_exp.model.cost import ModelSize, PhaseCost, Sizes
from delt_exp.proxy.base import ProxyModel
from delt_exp.resources import Resources
from delt_exp.runtime import Runtime


class Fitted(Protocol):
    """A data scorer that has learnt annotations."""

    @property
    def digest(self) -> str:
        """Hash of all that decides a prediction: equal digests mean equal predictions."""

    def predict(self, resources: Resources, tokens: Tokens, shards: Path) -> NDArray[np.float32]:
        """Return a score [N] in annotated units for every document of `tokens`, on all processes there are.

        shards: a folder in which a killed call continues. Raises ConfigError for tokens of another tokenizer.
        """


class DataScorer(Protocol):
    """Learns the scores of annotated documents; fields of an implementation are the keys of its YAML file."""

    VERSION: ClassVar[int]

    def check(self, proxy: ProxyModel, num_annotated: int) -> None:
        """Raise ConfigError, before anything is annotated, when it cannot read documents or learn from so many."""

    def fit(
        self,
        proxy: ProxyModel,
        tokens: Tokens,
        rows: ArrayLike,
        labels: ArrayLike,
        folder: Path,
        runtime: Runtime,
        precision: str,
    ) -> Fitted:
        """Return a scorer that predicts `labels` [D] of the documents `rows` [D] of `tokens`, on one device.

        What `load` needs goes to `folder`, with `fit.parquet` and, written last, `fit.json` (see `evidence.py`).
        precision: `32-true` or `bf16-mixed`, also of predictions. Raises DataError for labels that cannot be learnt,
        ConfigError for settings that do not fit. The same inputs give the same bits on a CPU.
        """

    def load(self, folder: Path) -> Fitted:
        """Return what `fit` wrote to `folder`."""

    def forecast(self, size: ModelSize, sizes: Sizes, num_annotated: int, batch_tokens: int) -> list[PhaseCost]:
        """Return what fitting on `num_annotated` average documents and reading the whole corpus cost.

        The phases are `data scorer` and `inference`. size: of the proxy; sizes: of the whole corpus.
        """
