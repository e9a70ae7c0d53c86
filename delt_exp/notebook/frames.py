"""Tables of a run as DataFrames, whose ids are written as in exports and on pages."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.scorer.table import ScoreTable

if TYPE_CHECKING:
    import pandas as pd


def frame_of_file(path: Path) -> "pd.DataFrame":
    """Return a Parquet table of a run folder."""
    import pandas as pd

    table = pd.read_parquet(path)
    return table.assign(id=_shown(table["id"].tolist()))


def frame_of_scores(table: ScoreTable, documents: TokenizedCorpus) -> "pd.DataFrame":
    """Return id, score, source and tokens of documents, with the columns of a run's scores.parquet."""
    import pandas as pd

    corpus = documents.corpus
    sources = pd.Categorical.from_codes(np.asarray(corpus.source_codes, int), corpus.meta["sources"])
    columns = {
        "id": _shown(table.ids.tolist()),
        "score": table.scores,
        "source": sources,
        "tokens": documents.tokens.lengths,
    }
    return pd.DataFrame(columns)


def _shown(ids: Iterable[int]) -> list[str]:
    return [f"{name:016x}" for name in ids]
