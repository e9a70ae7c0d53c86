"""Alignment through the store: every text is described once, every pair compared once."""

import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from delt_exp.alignment.base import Alignment, Arrays, Coefficient, Description, NeedsDocuments, Text
from delt_exp.config.identity import flat, identity
from delt_exp.errors import ConfigError, DataError, DeltError
from delt_exp.files import digest, read_json, write_json
from delt_exp.resources import Resources
from delt_exp.store.store import Store

PARTS = "parts"  # of a description that is under way


@dataclass(frozen=True, kw_only=True)
class TableRow(Coefficient):
    """One pair. The seconds are those of the computations, whenever they happened; a text is described once.

    train_seconds, evaluation_seconds: of describing the two texts; pair_seconds: of comparing the descriptions.
    """

    train: str
    evaluation: str
    train_seconds: float
    evaluation_seconds: float
    pair_seconds: float


class Describer:
    """Describes texts under one metric; what the metric needs is loaded when the first text is not in the store yet."""

    def __init__(self, alignment: Alignment, resources: Resources) -> None:
        self._alignment, self._resources = alignment, resources
        fields = {key: v for key, v in identity(alignment).items() if key not in alignment.COMPARED}
        self.settings: dict[str, Any] = {**fields, "inputs": alignment.inputs(resources)}

    @cached_property
    def _describe(self) -> Callable[[Text, Path], Arrays]:
        return self._alignment.describer(self._resources)

    def describe(self, text: Text) -> Description:
        """Return the description of a text; raises DataError for one without documents."""
        if not len(text.ids):
            raise DataError("alignment: a text has no documents; select at least one")
        return self.stored(digest(np.ascontiguousarray(text.ids)), lambda folder: self._describe(text, folder))

    def stored(self, content: str, compute: Callable[[Path], Arrays]) -> Description:
        """Return the description that settings and `content` name, cached or computed.

        compute: gets a folder for what is half done, which stays when the process is killed.
        """

        def build(folder: Path) -> None:
            arrays = {name: np.ascontiguousarray(array) for name, array in compute(folder / PARTS).items()}
            save_file(arrays, folder / "description.safetensors")
            shutil.rmtree(folder / PARTS, ignore_errors=True)

        inputs = {"settings": self.settings, "documents": content}
        use = self._resources.store.get("description", inputs, build, resumable=True)
        arrays = load_file(use.path / "description.safetensors")
        return Description(use.key, self.settings, arrays, float(use.cost["build_seconds"]))


def compare(
    alignment: Alignment, train: Description, evaluation: Description, store: Store
) -> tuple[Coefficient, float]:
    """Return the coefficient of two descriptions, and the seconds it took.

    Raises ConfigError when they were made in different ways.
    """
    here, there = flat(train.settings), flat(evaluation.settings)
    names = [name for name in {**here, **there} if here.get(name) != there.get(name)]
    if names:
        raise ConfigError(
            f"descriptions of different {names[0]} do not compare: {here.get(names[0])} and {there.get(names[0])}; "
            "describe both texts with the same settings"
        )
    inputs = {"alignment": identity(alignment), "train": train.key, "evaluation": evaluation.key}

    def build(folder: Path) -> None:
        write_json(folder / "coefficient.json", asdict(alignment.compare(train, evaluation)))

    use = store.get("alignment", inputs, build)
    return Coefficient(**read_json(use.path / "coefficient.json")), float(use.cost["build_seconds"])


def coefficients(
    alignment: Alignment, trained: Mapping[str, Text], evaluation: Mapping[str, Text], resources: Resources
) -> list[TableRow]:
    """Return one row for every training text with every evaluation text, row by row of the table.

    N + M descriptions serve the N x M table. Raises DeltError for a text that cannot be described, naming it; for one
    of too few documents before anything is described.
    """
    if isinstance(alignment, NeedsDocuments):
        for name, text in (*trained.items(), *evaluation.items()):
            alignment.check_documents(len(text.ids), f"text {name}")
    describer = Describer(alignment, resources)
    described = {name: _named(describer, name, text) for name, text in trained.items()}
    against = {name: _named(describer, name, text) for name, text in evaluation.items()}
    rows = []
    for (here, train_side), (there, other_side) in itertools.product(described.items(), against.items()):
        coefficient, seconds = compare(alignment, train_side, other_side, resources.store)
        row = TableRow(
            **vars(coefficient),
            train=here,
            evaluation=there,
            train_seconds=train_side.seconds,
            evaluation_seconds=other_side.seconds,
            pair_seconds=seconds,
        )
        rows.append(row)
    return rows


def _named(describer: Describer, name: str, text: Text) -> Description:
    try:
        return describer.describe(text)
    except DeltError as error:
        raise type(error)(f"{name}: {error}") from error


def matrix(rows: Sequence[TableRow]) -> tuple[list[str], list[str], np.ndarray]:
    """Return (training texts, evaluation texts, values [N, M]) of a table."""
    trained = list(dict.fromkeys(row.train for row in rows))
    evaluation = list(dict.fromkeys(row.evaluation for row in rows))
    return trained, evaluation, np.array([row.value for row in rows]).reshape(len(trained), len(evaluation))
