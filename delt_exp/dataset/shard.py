"""Every n-th document of a dataset: parts of one corpus that have no row in common."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from delt_exp.config.fields import Count, NonNegativeInt, settings
from delt_exp.dataset.base import Dataset, Document, EmptyFile
from delt_exp.errors import ConfigError


@settings
class Shard:
    """The documents of `dataset` whose number, from 0, leaves one of `shards` when divided by `num_shards`.

    Any two sets of shards without a common member are disjoint as rows of the corpus; texts that occur twice in it can
    be in both. The stream ends after `max_documents` (None: no limit).
    """

    VERSION: ClassVar[int] = 1
    dataset: Dataset
    num_shards: Count
    shards: Sequence[NonNegativeInt]
    max_documents: NonNegativeInt | None

    def __post_init__(self) -> None:
        if not self.shards or len(set(self.shards)) < len(self.shards) or max(self.shards) >= self.num_shards:
            raise ConfigError(
                f"shards={list(self.shards)} is not allowed; give numbers from 0 to {self.num_shards - 1} "
                "(num_shards - 1), each once"
            )

    def documents(self) -> Iterator[Document]:
        """Yield the documents in the order of `dataset`; raises what it raises."""
        taken, row, count = set(self.shards), 0, 0
        for document in self.dataset.documents():
            if isinstance(document, EmptyFile):  # counted, and no document
                yield document
                continue
            if row % self.num_shards in taken:
                if count == self.max_documents:
                    return
                count += 1
                yield document
            row += 1

    def fingerprint(self) -> str:
        """Return the fingerprint of `dataset`."""
        return self.dataset.fingerprint()
