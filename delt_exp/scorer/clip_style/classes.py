"""Classes of documents and what stands for each of them. N documents, C classes, D numbers of a vector."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delt_exp.encoder.clusters import clustered
from delt_exp.errors import ConfigError, DataError
from delt_exp.rows.draws import generator

LARGE, PART = 20_000, 10_000  # documents of a class that is split, and of a part about


@dataclass(frozen=True, eq=False)
class Classes:
    """names: of the classes that have documents. of_N: the class of each document."""

    names: Sequence[str]
    of_N: NDArray[np.intp]

    @classmethod
    def named(cls, names: Sequence[str], of_N: NDArray[np.integer]) -> "Classes":
        """Return the classes that occur in `of_N`, positions in `names`."""
        used, found_N = np.unique(of_N, return_inverse=True)
        return cls([names[number] for number in used], found_N)

    @property
    def sizes(self) -> NDArray[np.intp]:
        """[C] documents of each class."""
        return np.bincount(self.of_N)

    def check_sizes(self) -> None:
        """Raise ConfigError where more than half of the classes have one document, which has no neighbours there."""
        alone = int((self.sizes == 1).sum())
        if 2 * alone > len(self.names):
            raise ConfigError(
                f"{alone} of {len(self.names)} classes have one document, which has no neighbours; use "
                "scorer.classes=clusters with a smaller scorer.num_clusters"
            )

    def check_prototypes(self, prototypes_CD: NDArray[np.float64]) -> None:
        """Raise DataError for a prototype that is 0 or not finite, with which no document has a cosine."""
        lengths_C = np.linalg.norm(prototypes_CD, axis=1)
        bad = np.flatnonzero(~np.isfinite(lengths_C) | (lengths_C == 0))
        if len(bad):
            raise DataError(
                f"the prototype of class {self.names[bad[0]]!r} has length {lengths_C[bad[0]]}, which has no "
                "direction; use other classes, another scorer.prototype or another encoder"
            )

    def texts(self, descriptions: Mapping[str, str], template: str | None) -> list[str]:
        """Return the text about each class, its description or the template with its name; DataError for neither."""
        texts = []
        for name in self.names:
            text = descriptions.get(name, "" if template is None else template.replace("{name}", name))
            if not text.strip():
                raise DataError(
                    f"the class {name!r} has no text in scorer.descriptions, which has "
                    f"{', '.join(descriptions) or 'none'}; add scorer.descriptions.{name}, or use "
                    "scorer.template='A text about {name}.', or scorer.prototype=centroid"
                )
            texts.append(text)
        return texts

    def centroids(self, vectors_ND: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return [C, D] the mean vector of each class."""
        members = (np.flatnonzero(self.of_N == number) for number in range(len(self.names)))
        return np.array([vectors_ND[rows].mean(0, dtype=np.float64) for rows in members])

    def parts(self, vectors_ND: NDArray[np.float32], ids: NDArray[np.uint64], seed: int) -> NDArray[np.intp]:
        """Return [N] the class of each document; a class of more than 20,000 is split by k-means, into about 10,000s.

        All pairs within a class are compared: parts keep the time in proportion to the documents.
        """
        part_N, first = self.of_N.copy(), len(self.names)
        for number in np.flatnonzero(self.sizes > LARGE):
            rows = np.flatnonzero(self.of_N == number)
            with suppress(ConfigError):  # too few different vectors to be split
                draws = generator(seed, "parts of a class", int(number))
                found = clustered(vectors_ND[rows], ids[rows], -(-len(rows) // PART), draws, "parts")
                part_N[rows] = first + found.of_N
                first += len(found)
        return part_N
