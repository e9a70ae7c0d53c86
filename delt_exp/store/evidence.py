"""What a stage shows of its work: named tables, numbers and figures, sentences, and what its phases cost.

All of it lies in one folder: `evidence.json` lists what there is, and every table is a Parquet file. A run copies the
evidence of its scores and of its training into one folder, which the record, the page, the loggers and studies read;
none of them knows a method by name.
"""

import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from delt_exp.errors import DataError
from delt_exp.files import read_json, write_json, written_aside
from delt_exp.progress import say
from delt_exp.store.memory import PeakMemory

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "evidence.json"
NAME = re.compile(r"[a-z][a-z0-9_]*")
KINDS = ("tables", "numbers", "figures")


@dataclass(frozen=True)
class Series:
    """The rows of a figure whose `Figure.series_column` is `value`.

    tone: `main` is drawn strongly, `other` in a second colour, `faint` as a background.
    """

    value: str
    label: str
    tone: Literal["main", "other", "faint"] = "main"


@dataclass(frozen=True)
class Figure:
    """A picture of a table's columns, described and not drawn.

    kind: `scatter` and `line` show y over x, `bars` y for each name in x, `histogram` how often each value of x occurs.
    y: a column, or several, which become a line or a group of bars each. series_column, series: parts of the table that
    are drawn apart, in this order; those without a row are left out. has_diagonal: with the line through the mean of x
    on which y equals x.
    """

    title: str
    table: str
    kind: Literal["scatter", "line", "bars", "histogram"]
    x: str
    y: tuple[str, ...]
    x_label: str
    y_label: str
    series_column: str | None = None
    series: tuple[Series, ...] = ()
    has_diagonal: bool = False

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> "Figure":
        """Return the figure that `asdict` made into JSON-like values."""
        known = {**described, "y": tuple(described["y"])}
        return cls(**known | {"series": tuple(Series(**series) for series in described["series"])})


class Evidence:
    """Evidence in `folder`, which need not exist. What is handed over replaces what had the same name.

    Names are of lower-case letters, digits and underscores; every caption says in a sentence how to read its table,
    numbers or figure.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def table(self, name: str, columns: "pa.Table | Mapping[str, Any]", caption: str) -> None:
        """Leave a table, as Arrow or as columns of equal length; NaN is an unknown number."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        known = {} if isinstance(columns, pa.Table) else {key: _known(values) for key, values in columns.items()}
        table = columns if isinstance(columns, pa.Table) else pa.table(known)
        self.folder.mkdir(parents=True, exist_ok=True)
        with written_aside(self._file(name)) as aside:
            pq.write_table(table, aside)
        self._put("tables", name, {"caption": caption, "rows": table.num_rows, "columns": table.column_names})

    def numbers(self, name: str, values: Mapping[str, float | str | None], caption: str) -> None:
        """Leave named numbers, or short texts."""
        self._put("numbers", name, {"caption": caption, "values": dict(values)})

    def figure(self, name: str, figure: Figure, caption: str) -> None:
        """Leave a figure of a table that was handed over; raises DataError for one without its columns."""
        table = self.contents()["tables"].get(figure.table, {"columns": []})
        wanted = {figure.x, *figure.y, *([figure.series_column] if figure.series_column else [])}
        missing = sorted(wanted - set(table["columns"]))
        if missing:
            raise DataError(
                f"figure {name!r} needs the columns {', '.join(missing)} of the evidence table {figure.table!r}, which "
                f"has {', '.join(table['columns']) or 'none'}; hand the table over first"
            )
        self._put("figures", name, {"caption": caption, **asdict(figure)})

    def add(self, other: "Evidence", part: str = "") -> None:
        """Copy all that another folder holds, except its total of operations.

        part: a name for what the other belongs to; it goes before all names, so that two parts keep apart.
        """
        found, contents = other.contents(), self.contents()
        for name in found["tables"]:
            self.folder.mkdir(parents=True, exist_ok=True)
            with written_aside(self._file(_of_part(part, name))) as aside:
                shutil.copyfile(other._file(name), aside)
        for figure in found["figures"].values():
            figure |= {"table": _of_part(part, figure["table"]), "title": labelled(part, figure["title"])}
        for kind in KINDS:
            contents[kind] |= {_of_part(part, name): thing for name, thing in found[kind].items()}
        contents["phases"] |= {labelled(part, name): cost for name, cost in found["phases"].items()}
        for kind in ("remarks", "warnings"):
            told = [labelled(part, sentence) for sentence in found[kind]]
            contents[kind] += [sentence for sentence in told if sentence not in contents[kind]]
        if other.folder.exists():
            self._write(contents)

    def remark(self, sentence: str) -> None:
        """Leave a sentence that the page shows beside what was done."""
        self._add("remarks", sentence)

    def warn(self, sentence: str) -> None:
        """Say on the terminal, in the record and at the head of the page what a reader must know first."""
        say(f"warning: {sentence}")
        self._add("warnings", sentence)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the seconds and the peak memory of the block to those of the phase."""
        started, peak = time.monotonic(), PeakMemory()
        with peak.measure():
            yield
        earlier = self.contents()["phases"].get(name, {"seconds": 0.0, "peak_bytes": 0, "cuda_peak_bytes": 0})
        cost = {
            "build_seconds": earlier["seconds"] + time.monotonic() - started,
            "peak_bytes": max(earlier["peak_bytes"], peak.resident_bytes),
            "cuda_peak_bytes": max(earlier["cuda_peak_bytes"], peak.cuda_bytes),
        }
        self.charge(name, cost)

    def charge(self, name: str, cost: Mapping[str, Any]) -> None:
        """Set the cost of a phase to that of a stage, whether that was computed now or is cached."""
        phase = {"seconds": cost["build_seconds"], **{key: cost[key] for key in ("peak_bytes", "cuda_peak_bytes")}}
        self._put("phases", name, phase)

    def count_flops(self, flops: Mapping[str, float]) -> None:
        """Leave the estimated operations of all phases together, and of each phase beside its seconds and memory."""
        contents = self.contents()
        for name, phase in contents["phases"].items():
            phase["flops"] = flops.get(name, 0.0)
        self._write({**contents, "flops": sum(flops.values())})

    def contents(self) -> dict[str, Any]:
        """Return what there is: `tables`, `numbers`, `figures`, `phases` by name, `remarks`, `warnings`, `flops`."""
        nothing = {**{kind: {} for kind in (*KINDS, "phases")}, "remarks": [], "warnings": [], "flops": 0.0}
        return nothing | (read_json(self.folder / FILE) if (self.folder / FILE).exists() else {})

    def read_table(self, name: str) -> "pa.Table | None":
        """Return a table by its name, None where there is none."""
        import pyarrow.parquet as pq

        file = self._file(name)
        return pq.ParquetFile(file).read() if file.exists() else None  # `pq.read_table` imports pandas, 0.3 s

    def _file(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise DataError(f"evidence cannot be called {name!r}; use lower-case letters, digits and underscores")
        return self.folder / f"{name}.parquet"

    def _put(self, kind: str, name: str, thing: Mapping[str, Any]) -> None:
        if kind in KINDS:
            self._file(name)  # raises for a name that no file could have
        contents = self.contents()
        contents[kind][name] = dict(thing)
        self._write(contents)

    def _add(self, kind: str, sentence: str) -> None:
        contents = self.contents()
        contents[kind] = [*(found for found in contents[kind] if found != sentence), sentence]
        self._write(contents)

    def _write(self, contents: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / FILE, contents)


def labelled(part: str, text: str) -> str:
    """Return a phase, title or sentence of a part as forecasts and evidence have it: "dsir: counting"."""
    return f"{part}: {text}" if part else text


def _of_part(part: str, name: str) -> str:
    return f"{part}_{name}" if part else name


def _known(values: Any) -> Any:
    """Return values as Arrow has them, with null for NaN."""
    import pyarrow as pa

    is_arrow = isinstance(values, pa.Array | pa.ChunkedArray)
    return values if is_arrow else pa.array(values, from_pandas=True)
