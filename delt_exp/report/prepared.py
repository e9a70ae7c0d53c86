"""What a run leaves that `stop_after` ends before training: scores, selection, order, `stopped.json` and a page.

The same command without `stop_after` reuses all of it and writes the files of a whole run in its place.
"""

import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.run_name import RunInfo
from delt_exp.config.stop import Stop
from delt_exp.files import read_json, write_json, written_aside
from delt_exp.report import numbers
from delt_exp.report.numbers import count
from delt_exp.report.outcome import Prepared
from delt_exp.report.record import earlier_record, prepared_record
from delt_exp.report.template import compiled

STOPPED = "stopped.json"
SELECTION = "selection.parquet"
OF_WHOLE_RUN = (
    "record.json", "order.parquet", SELECTION, "metrics.csv", "losses.parquet", "losses_averaged.parquet",
    "derived.json", "evidence", "plots", "model", "averaged",
)  # fmt: skip


def record_of(folder: Path) -> dict[str, Any] | None:
    """Return the record of a run, or what there is of one that was to stop; None where it left neither."""
    files = (folder / name for name in ("record.json", STOPPED))
    file = next((file for file in files if file.exists()), None)
    return None if file is None else read_json(file)


def write_prepared(info: RunInfo, found: Prepared, stop_after: str) -> None:
    """Write what there is to the folder of the run; nothing where the same run came further before.

    A run on what its files held earlier is not the same: all that it left makes way. Its model stays in the store.
    """
    folder = info.folder
    if _came_further(info, found.table.digest, stop_after):
        return
    for path in (folder / name for name in OF_WHOLE_RUN):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    write_scores(folder / "scores.parquet", found)
    if found.order is not None:
        write_rows(folder / "order.parquet", found, found.order, {})
    elif found.kept is not None:
        write_rows(folder / SELECTION, found, found.kept, {})
    record = {**prepared_record(info, found), "stopped_after": stop_after}
    write_json(folder / STOPPED, record)
    with written_aside(folder / "report.html") as aside:
        aside.write_bytes(_page(record).encode("utf-8", "replace"))


def _came_further(info: RunInfo, scores: str, stop_after: str) -> bool:
    """Whether the folder holds the whole run, or a later step of it, with these scores."""
    whole = earlier_record(info.folder, info.id)
    earlier = whole or earlier_record(info.folder, info.id, STOPPED)
    if earlier is None or earlier["score"]["digest"] != scores:
        return False
    if earlier is whole:
        return True
    steps, last = get_args(Stop), earlier["stopped_after"]
    file = "order.parquet" if last == "order" else SELECTION
    return steps.index(last) > steps.index(stop_after) and (info.folder / file).exists()


def remove_prepared(folder: Path) -> None:
    """Remove what a whole run has no use for."""
    for name in (STOPPED, SELECTION):
        (folder / name).unlink(missing_ok=True)


def write_scores(path: Path, found: Prepared) -> None:
    """One row per candidate: the score table, and what a score is compared with: source and tokens."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    corpus, table = found.candidates.corpus, pq.read_table(found.table.folder / "scores.parquet")
    sources = pa.DictionaryArray.from_arrays(np.asarray(corpus.source_codes, np.int32), corpus.meta["sources"])
    table = table.append_column("source", sources)
    with written_aside(path) as aside:
        pq.write_table(table.append_column("tokens", pa.array(found.candidates.tokens.lengths)), aside)


def write_rows(path: Path, found: Prepared, rows: NDArray[np.intp], more: Mapping[str, NDArray[np.int64]]) -> None:
    """One line per document of `rows`, in their order: position, id, corpus row, score, tokens, and columns `more`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "position": np.arange(len(rows)),
        "id": np.asarray(found.table.ids)[rows],
        "row": rows,
        "score": found.table.scores[rows],
        "tokens": found.documents.tokens.lengths[rows],
        **more,
    }
    with written_aside(path) as aside:
        pq.write_table(pa.table(columns), aside)


def headline(record: Mapping[str, Any]) -> str:
    """Return one sentence: how far the run came."""
    train, choices = record["data"]["train"], record["choices"]
    text = f"{count(train['documents'])} documents of {choices['train_dataset']} were scored by {choices['scorer']}"
    if "selection" in record:
        text += f", {count(record['selection']['kept_documents'])} kept by {choices['selector']}"
    if record["stopped_after"] == "order":
        text += f" and put in {choices['orderer']} order"
    return f"{text}; the run stopped there, and no model was trained."


def _page(record: Mapping[str, Any]) -> str:
    names = ("count", "share", "seconds", "size", "value")
    template = compiled("report/stopped.html.j2", {name: getattr(numbers, name) for name in names})
    started = datetime.fromisoformat(cast(str, record["started"]))
    return template.render(run=record, headline=headline(record), started=started)
