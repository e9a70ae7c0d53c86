"""The files that every kind of evaluation leaves."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from delt_exp.errors import DivergedError
from delt_exp.eval_dataset.base import Measure
from delt_exp.files import write_json


def write_measures(folder: Path, name: str, measures: Sequence[Measure]) -> None:
    """Write `measures.json` of the evaluation dataset `name`; raises DivergedError for a value that is not finite."""
    bad = next((m for m in measures if not math.isfinite(m.value)), None)
    if bad is not None:
        where = f"{name}/{bad.dataset}" if bad.dataset else name
        raise DivergedError(
            f"{bad.metric} on {where} is {bad.value} ({_known(measures)}): the model predicts nothing usable. Its "
            "training has diverged, or its weights were damaged before; lower model.optimizer.lr and train again"
        )
    write_json(folder / "measures.json", [asdict(measure) for measure in measures])


def _known(measures: Sequence[Measure]) -> str:
    return ", ".join(f"{m.metric} {m.value:.4g}" for m in measures[:3])


def write_columns(path: Path, columns: Mapping[str, Any]) -> None:
    """Write columns of equal length as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(dict(columns)), path)
