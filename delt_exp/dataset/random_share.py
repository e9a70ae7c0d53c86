"""A random part of a dataset, so that each seed of a study chooses from candidates of its own."""

from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from typing import ClassVar

from delt_exp.config.fields import PositiveShare, Seed, settings
from delt_exp.dataset.base import Dataset, Document, EmptyFile, document_id
from delt_exp.rows.draws import seed_for

DRAWS = 2.0**64


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
            if draw_of(document, self.seed, "random share of a dataset") < self.share * DRAWS:
                yield document

    def fingerprint(self) -> str:
        """Return the fingerprint of `dataset`."""
        return self.dataset.fingerprint()


def draw_of(document: Document, seed: int, purpose: str) -> int:
    """Return the draw of a document from [0, DRAWS), which its content, the seed and the purpose decide."""
    salt, name = _salt(seed, purpose), document_id(document).to_bytes(8, "little")
    return int.from_bytes(blake2b(name, digest_size=8, salt=salt).digest(), "little")


@cache
def _salt(seed: int, purpose: str) -> bytes:
    return seed_for(seed, purpose).to_bytes(8, "little")
