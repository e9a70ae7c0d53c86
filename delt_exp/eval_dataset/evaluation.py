"""What every kind of evaluation shares: its stage, and the files that it leaves."""

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from delt_exp.errors import DataError, DivergedError
from delt_exp.eval_dataset.base import Measure
from delt_exp.files import read_json, write_json
from delt_exp.store.store import Store

M = TypeVar("M", bound=Measure)


def evaluation_stage(store: Store, inputs: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
    """Return the folder that `build` fills once for the same inputs; a killed build continues.

    What a broken model says is not worth keeping: the folder is removed on a DataError and a DivergedError.
    """

    def guarded(folder: Path) -> None:
        try:
            build(folder)
        except (DataError, DivergedError):
            shutil.rmtree(folder)
            raise

    return store.get("evaluation", inputs, guarded, resumable=True).path


def read_measures(folder: Path, name: str, kind: type[M]) -> list[M]:
    """Return what `write_measures` wrote, of the dataset `name`; tasks of it as `name/task`."""
    rows = read_json(folder / "measures.json")
    return [kind(**{**row, "dataset": f"{name}/{row['dataset']}".rstrip("/")}) for row in rows]


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
