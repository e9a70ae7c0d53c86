"""What a fit leaves: for `load`, and for those who want to know what a data scorer is worth.

`fit.parquet` has a row for every annotated document: id, annotated, predicted, split. `fit.json` has the validation,
the seconds, what the option itself tells, and the `reading` of a `FittedScorer`; it is written last.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.data_scorer.annotated import Annotated
from delt_exp.data_scorer.validation import doubt, in_words, validate
from delt_exp.files import read_json, write_json, written_aside
from delt_exp.store.evidence import Evidence, Figure, Series

TABLE, FACTS = "fit.parquet", "fit.json"


def write_fit(
    folder: Path, annotated: Annotated, predicted_D: NDArray[Any], split_D: NDArray[np.str_], judged: str,
    details: Mapping[str, Any],
) -> None:  # fmt: skip
    """Write fit.parquet and, last, fit.json.

    split_D: what each document was used for: `train`, `choice`, `validation` or `out of fold`. Those of `judged`, one
    of the last two, are compared with the annotations. details: entries of fit.json beside the validation.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "id": np.asarray(annotated.tokens.ids[annotated.rows]),
        "annotated": annotated.labels,
        "predicted": predicted_D,
        "split": split_D,
    }
    with written_aside(folder / TABLE) as aside:
        pq.write_table(pa.table(columns), aside)
    is_judged = split_D == judged
    how = "held out" if judged == "validation" else judged
    validation = asdict(validate(annotated.labels[is_judged], predicted_D[is_judged], how))
    write_json(folder / FACTS, {"validation": validation, "clipped_documents": annotated.num_clipped, **details})


def is_complete(folder: Path) -> bool:
    """Whether a fit in `folder` was finished."""
    return (folder / FACTS).exists()


def show_fit(folder: Path, evidence: Evidence, score_name: str) -> None:
    """Leave how well the fit in `folder` predicts; warn where it has not been shown to predict at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from scipy.stats import rankdata

    fit = read_json(folder / FACTS)
    validation = fit["validation"]
    if message := doubt(validation):
        evidence.warn(message)
    spread = f"predictions spread {validation['spread_ratio']:.2f} times as wide as annotations"
    evidence.remark(f"by a data scorer: {in_words(validation)}; {spread}")
    plain = {key: value for key, value in fit.items() if isinstance(value, int | float)}
    evidence.numbers("fit", {**validation, **plain}, "How well the data scorer predicts the documents that judge it.")
    caption = (
        "Every annotated document: its exact score, its prediction, how that came about, and ranks from the lowest."
    )
    table = pq.read_table(folder / TABLE)
    for name in ("annotated", "predicted"):
        table = table.append_column(f"{name}_rank", pa.array(rankdata(table[name].to_numpy())))
    evidence.table("fit", table, caption)
    evidence.figure("fit", _figure(in_words(validation), score_name), CAPTION)


CAPTION = (
    "Each point is a document whose score was computed exactly (across) and predicted by the data scorer (up), a blue "
    "one without having learnt from it; 1 is the lowest. All other documents have only the prediction. Ranks are shown "
    "because predictions lie closer together than exact scores: trust their ranks, which selectors by share or number "
    "use, and not their size, which a threshold uses and the table of these documents has."
)


def _figure(judged: str, score_name: str) -> Figure:
    series = (
        Series("train", "learnt from", "faint"),
        Series("choice", "chose the epoch", "other"),
        Series("validation", judged, "main"),
        Series("out of fold", judged, "main"),
    )
    return Figure(
        title="What the data scorer learned",
        table="fit",
        kind="scatter",
        x="annotated_rank",
        y=("predicted_rank",),
        x_label=f"rank of the annotated {score_name}",
        y_label="rank of the prediction",
        series_column="split",
        series=series,
        has_diagonal=True,
    )
