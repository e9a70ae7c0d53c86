"""What a fit leaves for record and page.

`fit.parquet` has a row for every annotated document: id, annotated, predicted, split. `fit.json` has the validation,
the seconds, what the option itself tells, and the `reading` of a `FittedScorer`.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.data_scorer.annotated import Annotated
from delt_exp.data_scorer.validation import doubt, validate
from delt_exp.files import write_json, written_aside
from delt_exp.progress import say


def write_evidence(
    folder: Path, annotated: Annotated, predicted_D: NDArray[Any], split_D: NDArray[np.str_], judged: str,
    details: Mapping[str, Any],
) -> None:  # fmt: skip
    """Write fit.parquet and, last, fit.json; say on the terminal when the scorer has not been shown to predict.

    split: how the prediction of a document came about; those of `judged` (`validation` or `out of fold`) are compared
    with the annotations. details: entries of fit.json beside the validation.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "id": np.asarray(annotated.tokens.ids[annotated.rows]),
        "annotated": annotated.labels,
        "predicted": predicted_D,
        "split": split_D,
    }
    with written_aside(folder / "fit.parquet") as aside:
        pq.write_table(pa.table(columns), aside)
    is_judged = split_D == judged
    how = "held out" if judged == "validation" else judged
    validation = asdict(validate(annotated.labels[is_judged], predicted_D[is_judged], how))
    if message := doubt(validation):
        say(message)
    write_json(folder / "fit.json", {"validation": validation, "clipped_documents": annotated.num_clipped, **details})
