"""A random part of a dataset, so that each seed of a study chooses from candidates of its own."""

from collections.abc import Iterator
from typing import ClassVar

from delt_exp.config.fields import PositiveShare, Seed, settings
from delt_exp.dataset.base import Dataset, Document, EmptyFile, document_id
from delt_exp.rows.draws import DRAWS, draw_of


@settings
class RandomShare:
    """The documents of `dataset` whose draw from (0, 1) is below `share`: about that many, exactly all for 1.

    A draw depends on the content and on `seed` alone: equal documents stay or go together, a larger share has all that
    a smaller one has, and other documents of the dataset do not matter.
    """

    VERSION: ClassVar[int] = 1
    dataset: Dataset
    share: PositiveShare
    seed: Seed

    def documents(self) -> Iterator[Document]:
        """Yield the documents in the order of `dataset`; raises what it raises."""
        for document in self.dataset.documents():
            if isinstance(document, EmptyFile):  # counted, and no document
                yield document
                continue
            if draw_of(document_id(document), self.seed, "random share of a dataset") < self.share * DRAWS:
                yield document

    def fingerprint(self) -> str:
        """Return the fingerprint of `dataset`."""
        return self.dataset.fingerprint()
