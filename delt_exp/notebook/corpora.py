"""Texts, records, tables and files as datasets of an experiment.

What is given as an object becomes a file named by its content, `output_dir/corpora/<hash>.jsonl`: the same documents
are the same dataset, for the command line too, and a training process can read them.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.cli.help import options
from delt_exp.cli.named_datasets import label_of, quoted, reader
from delt_exp.config.build import CONF
from delt_exp.corpus.writing import CorpusSettings, split_document
from delt_exp.dataset.base import document_id
from delt_exp.dataset.documents import FIELDS, document
from delt_exp.dataset.json_records import json_records
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import digest, disk_errors, written_aside

FOLDER = "corpora"
KINDS = (
    "a list of texts or of dicts, a DataFrame or datasets.Dataset with a column 'text', a file, or an option of "
    "conf/train_dataset"
)


@dataclass(frozen=True)
class Given:
    """Documents that were given as objects, as the lines of a file."""

    content: bytes

    @property
    def name(self) -> str:
        """Of the file: 16 hex digits that the content decides."""
        return f"{digest(self.content)}.jsonl"

    def write(self, output_dir: Path) -> Path:
        """Write the file where it is not there already, and return it."""
        path = output_dir / FOLDER / self.name
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_bytes() != self.content:
                with written_aside(path) as aside:
                    aside.write_bytes(self.content)
        return path


@dataclass(frozen=True)
class Choice:
    """The overrides that choose a dataset for `group`. given: its documents, if they are not in a file."""

    group: str
    overrides: Sequence[str]
    given: Given | None = None


def chosen(group: str, value: Any) -> list[Choice]:
    """Return how `train_dataset`, `target_dataset` or `eval_dataset` is chosen; raises DeltError for anything else.

    An evaluation is one corpus, or several by their names.
    """
    if isinstance(value, str) and value in options(CONF, group):
        return [Choice(group, [f"{group}={value}"])]
    if group == "eval_dataset" and isinstance(value, Mapping) and not value:
        raise ConfigError(
            "eval_dataset={} names no evaluation set; give one, or eval_dataset='none' to measure nothing"
        )
    if group == "eval_dataset":
        named = value if isinstance(value, Mapping) and not hasattr(value, "column_names") else {_label(value): value}
        return [Choice(group, ["eval_dataset=[]"]), *(_evaluation(str(label), one) for label, one in named.items())]
    option, key, place, given = _source(group, value)
    setting = [] if place is None else [f"{group}.{key}={quoted(place)}"]
    return [Choice(group, [f"{group}={option}", *setting], given)]


def _label(value: Any) -> str:
    return label_of(os.fspath(value)) if isinstance(value, str | os.PathLike) else "heldout"


def _evaluation(label: str, value: Any) -> Choice:
    if not label.isidentifier():
        raise ConfigError(f"eval_dataset: {label!r} cannot name an evaluation set; use letters, digits and '_'")
    option, key, place, given = _source(f"eval_dataset[{label!r}]", value)
    node = f"eval_dataset.{label}"
    setting = [] if place is None else [f"{node}.dataset.{key}={quoted(place)}"]
    dataset = [f"+train_dataset@{node}.dataset={option}", *setting]
    return Choice("eval_dataset", [*dataset, f"+{node}._target_=delt_exp.eval_dataset.text_loss.TextLoss"], given)


def _source(name: str, value: Any) -> tuple[str, str, str | None, Given | None]:
    """Return the option that reads a corpus, the key that says where it is and that place; its documents if given."""
    if isinstance(value, str | os.PathLike):
        return (*_named(name, os.fspath(value)), None)
    given = Given(b"".join(_lines(name, value)))
    return "documents", "path", f"${{output_dir}}/{FOLDER}/{given.name}", given


def _named(name: str, text: str) -> tuple[str, str, str | None]:
    path = Path(text).expanduser()
    if path.is_dir() and any((path / mark).exists() for mark in ("state.json", "dataset_dict.json")):
        return "hub", "repo", str(path)
    option = reader(text)
    if option is not None and path.is_file():
        return option, "path", str(path)
    if option is None and text in options(CONF, "train_dataset"):
        return text, "", None
    wrong = "there is no such file" if option else "it is neither a file (.jsonl, .parquet, .txt) nor an option"
    raise DataError(f"{name}={text!r}: {wrong}; give {KINDS}")


def _lines(name: str, value: Any) -> Iterator[bytes]:
    """Yield each document as a line of JSON, in the order given; raises DataError for anything else."""
    num_texts = 0
    number = -1
    for number, item in enumerate(_items(name, value)):
        place = f"{name}[{number}]"
        record = _record(item, place)
        read = document(record, place, "")
        num_texts += any(part.is_predicted and bool(part.text.strip()) for part in read.parts)
        try:
            yield json.dumps(record, ensure_ascii=False, sort_keys=True, default=_listed).encode() + b"\n"
        except UnicodeEncodeError as error:
            half = error.object[error.start]
            raise DataError(
                f"{place} has half a character ({half!r}), which is not valid text; correct or drop it"
            ) from error
    if not num_texts:
        empty = "is empty" if number < 0 else f"has {number + 1} documents and none of them has text"
        raise DataError(f"{name} {empty}; give at least one document with text")


def _items(name: str, value: Any) -> Iterable[Any]:
    """Return the documents of anything that holds some."""
    columns = getattr(value, "columns", None) if hasattr(value, "iloc") else getattr(value, "column_names", None)
    if columns is not None:
        return _rows(name, value, list(columns))
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        raise ConfigError(f"{name}: {type(value).__name__} is not a corpus; give {KINDS}")
    return value.tolist() if hasattr(value, "tolist") else value


def _rows(name: str, table: Any, columns: Sequence[str]) -> Iterable[Mapping[str, Any]]:
    """Return the rows of a DataFrame or datasets.Dataset, of the columns that say what a document is."""
    known = [column for column in columns if column in FIELDS]
    if not {"text", "messages"} & set(known) or len(set(known)) < len(known):
        wrong = "two columns of one name" if len(set(known)) < len(known) else "no column 'text' or 'messages'"
        raise DataError(
            f"{name} has {wrong}; its columns: {', '.join(map(str, columns)) or 'none'}. Rename the one that holds the "
            f"documents to 'text'; read are {', '.join(FIELDS)}"
        )
    if not hasattr(table, "iloc"):
        return iter(table.select_columns(known))
    part = table[known].astype(object)
    values = part.where(part.notna(), None)
    return (dict(zip(known, row, strict=True)) for row in zip(*(values[column] for column in known), strict=True))


def _record(item: Any, place: str) -> dict[str, Any]:
    """Return a document as the fields that it has."""
    if isinstance(item, str):
        return {"text": item}
    if not isinstance(item, Mapping):
        raise DataError(f"{place} is {type(item).__name__}, neither a text nor a dict with 'text'; leave it out")
    record = {key: _listed(item[key]) for key in FIELDS if item.get(key) is not None}
    if not {"text", "messages"} & set(record):
        null = ", which is null (df.dropna leaves it out)" if "text" in item else ""
        raise DataError(
            f"{place} has no 'text'{null} and no 'messages'; it has {', '.join(map(str, item)) or 'nothing'}"
        )
    return {key: value for key, value in record.items() if key == "text" or value not in ("", [])}


def _listed(value: Any) -> Any:
    """Return arrays, which tables hold in place of lists, as lists."""
    return value.tolist() if hasattr(value, "tolist") else value


def records_of(file: Path, settings: CorpusSettings, ids: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Return [N] for each document of a corpus, in its order, which record of `file` it is of, or is a piece of."""
    found: dict[int, Iterator[int]] = {}
    numbers: dict[int, list[int]] = {}
    for number, (record, place) in enumerate(json_records(file)):
        for piece in split_document(document(record, place, ""), settings.max_document_chars):
            numbers.setdefault(document_id(piece), []).append(number)
    return np.array([next(found.setdefault(name, iter(numbers[name]))) for name in ids.tolist()], np.intp)
