"""Embeddings of documents as a stage of the store."""

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.identity import identity
from delt_exp.corpus.corpus import Corpus
from delt_exp.encoder.base import Encoder
from delt_exp.errors import DataError
from delt_exp.files import digest
from delt_exp.mapping.items import document_name
from delt_exp.mapping.map_documents import map_texts
from delt_exp.resources import Resources

FILE = "embeddings.npy"
BLOCK_DOCUMENTS = 4096


def embeddings_stage(
    resources: Resources, encoder: Encoder, corpus: Corpus, rows: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Return [N, D], on disk: the vectors of the documents `rows` [N] of a corpus, by all processes of the trainer.

    A killed computation continues with the documents that are missing.
    """
    inputs = {
        "encoder": identity(encoder),
        "inputs": encoder.inputs(resources),
        "corpus": corpus.digest,
        "rows": digest(np.ascontiguousarray(rows, np.int64)),
    }

    def build(folder: Path) -> None:
        judge = encoder.judge(resources)
        out = np.lib.format.open_memmap(folder / FILE, "w+", np.float32, (len(rows), judge.width))
        map_texts(resources, corpus, rows, judge, folder / "shards", "encoding", out)
        out.flush()
        shutil.rmtree(folder / "shards", ignore_errors=True)

    use = resources.store.get("embeddings", inputs, build, resumable=True)
    return np.load(use.path / FILE, mmap_mode="r")


def check_vectors(
    vectors_ND: NDArray[np.float32], ids: NDArray[np.uint64], rows: NDArray[np.intp] | None = None
) -> None:
    """Raise DataError for a vector that is zero or not finite.

    ids: of all documents of the corpus. rows: [N] which of them the vectors are of; None: of all.
    """
    for start in range(0, len(vectors_ND), BLOCK_DOCUMENTS):
        lengths = np.linalg.norm(vectors_ND[start : start + BLOCK_DOCUMENTS], axis=1)
        bad = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
        if len(bad):
            place, what = start + int(bad[0]), lengths[bad[0]]
            name = document_name(place if rows is None else int(rows[place]), ids)
            raise DataError(
                f"the embedding of {name} has length {what}, which has no direction; leave the document out or use "
                "another encoder"
            )
