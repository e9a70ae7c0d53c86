"""What is exported: the kept documents of a run in training order, read through memory maps."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.tokens import Tokens
from delt_exp.errors import DataError
from delt_exp.files import digest
from delt_exp.report.prepared import record_of


@dataclass(frozen=True, eq=False)
class Ordered:
    """K documents of a run in training order.

    record: of the run. rows: [K] rows of corpus and tokens. scores: [K].
    """

    run: Path
    record: dict[str, Any]
    corpus: Corpus
    tokens: Tokens
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def tokenizer_folder(self) -> Path:
        """The tokenizer of `tokens`, as `transformers` loads it."""
        return Path(self.record["documents"]["tokenizer"])

    @cached_property
    def order_digest(self) -> str:
        """Hash of the ids in training order: equal ones mean the same documents in the same order."""
        return digest(np.asarray(self.corpus.ids)[self.rows])

    @classmethod
    def of_run(cls, run: Path) -> "Ordered":
        """Return what the run in this folder ordered; raises DataError where it did not, or its corpus is gone."""
        record = record_of(run)
        if record is None:
            raise DataError(f"{run} is not the folder of a run: it has neither record.json nor stopped.json")
        if not (run / "order.parquet").exists():
            raise DataError(
                f"{run} has no order: the run stopped after {record.get('stopped_after')}; repeat its command with "
                "stop_after=order"
            )
        if (mixture := record["choices"].get("mixture", "none")) != "none":
            raise DataError(
                f"{run} trains with mixture={mixture}, which repeats documents, but its order names each once: "
                "export a run with mixture=none"
            )
        if record["config"]["training"].get("protocol") == "tuned":
            raise DataError(
                f"{run} trains with training.protocol=tuned, which leaves documents of its order out to choose a "
                "learning rate: export a run with training.protocol=fixed"
            )
        if "documents" not in record:
            raise DataError(f"{run} does not say where its documents are; repeat its command, which reuses its results")
        documents = record["documents"]
        corpus, tokens = Corpus(Path(documents["corpus"])), Tokens(Path(documents["tokens"]))
        for part, want in ((corpus, documents["corpus_digest"]), (tokens, documents["tokens_digest"])):
            if not (part.folder / "meta.json").exists() or part.digest != want:
                raise DataError(
                    f"{part.folder}, which run {run} read, is missing or has changed; repeat the run's command"
                )
        ids, rows, scores = _columns(run / "order.parquet")
        if not np.array_equal(np.asarray(corpus.ids)[rows], ids):
            raise DataError(f"{run / 'order.parquet'} names other documents than {corpus.folder}; repeat the run")
        return cls(run, record, corpus, tokens, rows, scores)


def _columns(path: Path) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.float32]]:
    import pyarrow.parquet as pq

    table = pq.ParquetFile(path).read(["id", "row", "score"])
    ids, rows, scores = (np.from_dlpack(table[name].combine_chunks()) for name in ("id", "row", "score"))
    return ids.astype(np.uint64), rows.astype(np.int64), scores.astype(np.float32)
