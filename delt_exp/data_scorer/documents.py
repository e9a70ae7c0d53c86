"""The annotated documents in batches: those to train on, and those that choose the epoch."""

from collections.abc import Sequence

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from delt_exp.corpus.windows import Windowing, buckets, windows_of
from delt_exp.data_scorer.annotated import Annotated
from delt_exp.data_scorer.model import Part
from delt_exp.data_scorer.regressor import Batch
from delt_exp.rows.draws import generator


class AnnotatedDocuments(pl.LightningDataModule):
    """Every batch is a list of parts: `batch_documents` documents in passes of at most `batch_tokens` padded tokens.

    A document is never divided among passes, because its windows are pooled. Each epoch has a random order of its own,
    for which the Trainer must reload the loaders. What Lightning calls validation are the documents of `choice`.
    """

    def __init__(
        self, annotated: Annotated, parts: NDArray[np.str_], context_tokens: int, batch_documents: int,
        batch_tokens: int, seed: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.annotated, self.parts, self.windowing = annotated, parts, Windowing("all", context_tokens)
        self.batch_documents, self.batch_tokens, self.seed = batch_documents, batch_tokens, seed

    def train_dataloader(self) -> DataLoader[list[Part]]:
        epoch = 0 if self.trainer is None else self.trainer.current_epoch
        rng = generator(self.seed, "order of annotated documents", epoch)
        return self._loader(rng.permutation(np.flatnonzero(self.parts == "train")))

    def val_dataloader(self) -> DataLoader[list[Part]]:
        return self._loader(np.flatnonzero(self.parts == "choice"))

    def _loader(self, order: NDArray[np.intp]) -> DataLoader[list[Part]]:
        batches: Sequence[NDArray[np.intp]] = [
            order[first : first + self.batch_documents] for first in range(0, len(order), self.batch_documents)
        ]
        return DataLoader(batches, batch_size=None, collate_fn=self._parts)  # type: ignore[arg-type]

    def _parts(self, chosen: NDArray[np.intp]) -> list[Part]:
        sizes = self.windowing.sizes(self.annotated.tokens.lengths[self.annotated.rows[chosen]])
        passes = buckets(sizes, self.windowing.context_tokens, self.batch_tokens)
        return [self._part(chosen[bucket]) for bucket in passes]

    def _part(self, chosen: NDArray[np.intp]) -> Part:
        windows = windows_of(self.annotated.tokens, self.annotated.rows[chosen], self.windowing)
        return Part(
            Batch.of(windows.batch(np.arange(len(windows.document_W)))),
            torch.from_numpy(self.annotated.standardised[chosen]),
            torch.from_numpy(self.annotated.labels[chosen]),
        )
