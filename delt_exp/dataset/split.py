"""Parts of a dataset by the content of its documents: training, target and evaluation without a split made by hand."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from delt_exp.config.fields import Seed, Share, settings
from delt_exp.dataset.base import Dataset, Document, EmptyFile, document_id
from delt_exp.errors import ConfigError, DataError
from delt_exp.rows.draws import DRAWS, draw_of


@settings
class Split:
    """One part of `dataset`: the documents that a draw gives to `eval`, to `target`, or to `train`, which has the rest.

    A draw depends on the content and on `seed` alone: equal documents are in the same part, and no document is in two.
    Larger shares keep what smaller ones had: `eval` lies below `eval_share`, `target` ends at 1 - `target_share`.
    """

    VERSION: ClassVar[int] = 1
    dataset: Dataset
    part: Literal["train", "target", "eval"]
    target_share: Share
    eval_share: Share
    seed: Seed

    def __post_init__(self) -> None:
        together = f"target_share={self.target_share:g} and eval_share={self.eval_share:g}"
        if self.target_share + self.eval_share > 1:
            raise ConfigError(f"{together} are more than all documents; give shares with a sum of at most 1")
        if not self.shares[self.part]:
            cure = "give it one" if self.part != "train" else "leave a rest, or read another part"
            raise ConfigError(f"part={self.part} has no share of the documents with {together}; {cure}")

    @property
    def shares(self) -> dict[str, float]:
        """The expected share of each part."""
        rest = 1 - self.target_share - self.eval_share
        return {"train": rest, "target": self.target_share, "eval": self.eval_share}

    def documents(self) -> Iterator[Document]:
        """Yield the documents of the part in the order of `dataset`; raises what it raises, and DataError for none."""
        num_read = num_taken = 0
        for document in self.dataset.documents():
            if isinstance(document, EmptyFile):  # counted, and no document
                yield document
                continue
            num_read += 1
            if self._part_of(document) == self.part:
                num_taken += 1
                yield document
        if num_read and not num_taken:
            raise DataError(
                f"part={self.part} has none of the {num_read} documents, with a share of {self.shares[self.part]:g}; "
                "use more documents, a larger share or another seed of the split"
            )

    def fingerprint(self) -> str:
        """Return the fingerprint of `dataset`."""
        return self.dataset.fingerprint()

    def _part_of(self, document: Document) -> str:
        draw = draw_of(document_id(document), self.seed, "part of a split") / DRAWS
        if draw < self.eval_share:
            return "eval"
        return "target" if draw >= 1 - self.target_share else "train"
