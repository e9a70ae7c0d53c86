"""What an alignment metric promises: it describes a corpus once, and compares descriptions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.corpus import Corpus
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Text:
    """Documents of a corpus: those of `rows`, or all for None. A document is all of its parts."""

    corpus: Corpus
    rows: NDArray[np.intp] | None = None

    @property
    def ids(self) -> NDArray[np.uint64]:
        """[D] content hashes of the documents."""
        return np.asarray(self.corpus.ids if self.rows is None else self.corpus.ids[self.rows])

    def corpus_rows(self, chosen: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the corpus rows of the documents at these positions of `ids`."""
        return chosen if self.rows is None else self.rows[chosen]

    def read(self, chosen: NDArray[np.intp]) -> list[str]:
        """Return the documents at these positions of `ids`."""
        return list(self.corpus.texts(self.corpus_rows(chosen)))


@dataclass(frozen=True, eq=False)
class Description:
    """What a metric keeps of one text. key: equal for equal documents and settings. seconds: what it took to compute.

    settings: everything besides the documents that decides `arrays`; only descriptions of equal settings compare.
    """

    key: str
    settings: Mapping[str, Any]
    arrays: Arrays
    seconds: float


@dataclass(frozen=True)
class Coefficient:
    """How aligned two texts are, higher meaning more, with its 95 % interval; None where there is none.

    without_interval: why there is none, where that is not in the nature of the metric.
    """

    value: float
    low: float | None
    high: float | None
    without_interval: str = ""


@runtime_checkable
class NeedsDocuments(Protocol):
    """A metric that cannot describe a text of few documents."""

    def check_documents(self, count: int, place: str) -> None:
        """Raise ConfigError or DataError where `count` documents are too few; place: whose documents they are."""


class Alignment(Protocol):
    """Measures how well a training text fits an evaluation text; fields are the keys of its YAML file."""

    VERSION: ClassVar[int]  # bump when unchanged settings give changed numbers
    needs: ClassVar[frozenset[str]]  # `tokens` where it reads `Resources.tokenizer`
    COMPARED: ClassVar[tuple[str, ...]]  # fields that only `compare` reads: they do not decide a description

    @property
    def meaning(self) -> Meaning:
        """What the number is and its unit; higher is better."""

    def inputs(self, resources: Resources) -> dict[str, Any]:
        """Return what besides fields and documents decides a description, as JSON-like values."""

    def describer(self, resources: Resources) -> Callable[[Text, Path], Arrays]:
        """Return the function that describes a text; loads or trains the models it needs.

        What the function leaves in its folder is there when a killed description is computed again, and is removed when
        it is finished. It raises DeltError for a text it cannot describe.
        """

    def compare(self, train: Description, evaluation: Description) -> Coefficient:
        """Return the coefficient of two descriptions of equal settings."""
