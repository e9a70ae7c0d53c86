"""The rows of a samples file of lm-evaluation-harness: what is compared, without prompts and answers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from delt_exp.errors import DataError

HASHES = {"doc_hash": "document", "target_hash": "target", "prompt_hash": "prompt"}
HOW = "evaluate again with lm_eval run --output_path FOLDER --log_samples"
BLOCK_BYTES = 1 << 24  # a row must fit into it, or the file is read the slow way

Columns = Mapping[str, Sequence[Any]]


def read_samples(file: Path, metric: str, filter_name: str, cluster: str | None) -> Columns:
    """Return `doc_id`, the hashes and `metric` of the rows of one filter, and `cluster`, a field of their documents.

    Nearly all of a row is prompts, which Arrow passes over 10 times as fast as Python. It reads no fields of documents,
    and nothing but plain numbers: what it cannot read is left to Python, which also finds the line of a mistake. Raises
    DataError for lines that are no JSON and rows without one of the columns.
    """
    columns = None if cluster else _by_arrow(file, metric, filter_name)
    return _by_python(file, metric, filter_name, cluster) if columns is None else columns


def _by_arrow(file: Path, metric: str, filter_name: str) -> Columns | None:
    """Return the columns, None where a row is not of the kind of the first or lacks an entry."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import json as arrow_json

    with file.open("rb") as opened:
        first: dict[str, Any] = next(_rows(file, opened), {})
    if metric not in first or "doc_id" not in first:
        return None
    texts = dict.fromkeys(("filter", *HASHES), pa.string())
    kinds = {"doc_id": _kind(first["doc_id"]), metric: _kind(first[metric]), **texts}
    if None in kinds.values():
        return None
    parsing = arrow_json.ParseOptions(pa.schema(list(kinds.items())), unexpected_field_behavior="ignore")
    try:
        table = arrow_json.read_json(file, arrow_json.ReadOptions(block_size=BLOCK_BYTES), parsing)
    except pa.ArrowInvalid:
        return None
    table = table.filter(pc.equal(pc.coalesce(table["filter"], "none"), filter_name))
    if any(table[name].null_count for name in kinds if name != "filter"):
        return None
    return {name: table[name].to_pylist() for name in kinds}


def _kind(value: Any) -> Any:
    """Return the Arrow type of a JSON value, None for one that is left to Python."""
    import pyarrow as pa

    kinds = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string(), list: pa.list_(pa.float64())}
    return kinds.get(type(value))


def _by_python(file: Path, metric: str, filter_name: str, cluster: str | None) -> Columns:
    keys = ("doc_id", *HASHES, metric)
    columns: dict[str, list[Any]] = {name: [] for name in (*keys, "cluster")}
    with file.open("rb") as opened:
        for row in _rows(file, opened):
            if row.get("filter", "none") != filter_name:
                continue
            try:
                for key in keys:
                    columns[key].append(row[key])
                document = row["doc"] if cluster else {}
            except KeyError as error:
                raise DataError(f"{file}: a row has no {error}; {HOW}, of a version that writes it") from error
            if cluster:
                columns["cluster"].append(_field(file, document, cluster))
    return columns


def _field(file: Path, document: Any, name: str) -> str:
    fields = document if isinstance(document, dict) else {}
    if name not in fields:
        raise DataError(
            f"{file}: --cluster {name} is no field of a document; it has {', '.join(fields) or 'none'}: name one of "
            "these, and leave out by --tasks what has none"
        )
    return str(fields[name])


def _rows(file: Path, lines: Any) -> Any:
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except ValueError as error:
            raise DataError(f"{file}, line {number} is not valid JSON ({error}); {HOW}") from error
