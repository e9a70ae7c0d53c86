"""What an evaluation dataset promises."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.corpus import Corpus
from delt_exp.model.cost import ModelSize, PhaseCost
from delt_exp.model.recipe import Recipe
from delt_exp.resources import Resources
from delt_exp.store.store import Store
from delt_exp.trainer.job import TrainedModel


@dataclass(frozen=True)
class Measure:
    """One number about one model on one dataset.

    stderr: standard error over documents or examples, None where there is none. count: how many they were.
    """

    dataset: str
    metric: str
    value: float
    stderr: float | None
    count: int
    unit: str
    better: Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Evaluation:
    """What a dataset said of a model. folder: of its stage; documents: the loss of each document, where it has any.

    left_out: how much of the dataset was not measured, by reason; a limit of the configuration is none.
    """

    measures: list[Measure]
    folder: Path
    documents: Path | None
    left_out: Mapping[str, int] = field(default_factory=dict)


@runtime_checkable
class NeedsRoom(Protocol):
    """An evaluation dataset that not every model has the positions for."""

    def check_model(self, name: str, model: Recipe, resources: Resources) -> None:
        """Raise ConfigError or DataError, before anything is trained, where this model could not be measured."""


@runtime_checkable
class CostsMore(Protocol):
    """An evaluation dataset that costs more than reading its text once."""

    def forecast(self, size: ModelSize, resources: Resources) -> list[PhaseCost]:
        """Return what else it costs; size: of the model that it measures."""


class EvalDataset(Protocol):
    """Measures a model; fields of an implementation are the keys of its YAML node."""

    VERSION: ClassVar[int]

    def prepare(self, resources: Resources) -> NDArray[np.uint64]:
        """Read the data, so that bad input is refused before anything is trained; return content ids, if it has any."""

    def text(self, store: Store) -> Corpus | None:
        """Return what a model that knows everything would write, for alignment; None where the text is not at hand."""

    def evaluate(self, name: str, model: TrainedModel, resources: Resources) -> Evaluation:
        """Return all measures, labelled `name`; a finished evaluation of the same model is reused from the store."""
