"""Datasets as a command line names them: an option of conf/train_dataset, or a file."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from delt_exp.config.build import CONF
from delt_exp.dataset.compression import PACKED
from delt_exp.errors import ConfigError, DataError

READERS = {
    ".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet", ".txt": "text",
}  # fmt: skip


def labelled(names: Sequence[str]) -> dict[str, str]:
    """Return label -> name; raises ConfigError when two have the same label."""
    labels = {label_of(name) if reader(name) else name: name for name in names}
    if len(labels) < len(names):
        raise ConfigError(f"two of {', '.join(names)} have the same name; rename a file or leave one out")
    return labels


def label_of(file: str) -> str:
    """Return the name of a file without endings, as a key may be called."""
    return re.sub(r"[^A-Za-z0-9_]", "_", Path(file).name.split(".")[0])


def dataset_overrides(labels: Mapping[str, str]) -> list[str]:
    """Return the overrides that put each dataset at `corpora.<label>`; raises DataError for a file that is missing."""
    return [override for label, name in labels.items() for override in _overrides(label, name)]


def quoted(text: str) -> str:
    """Return a text as a value that Hydra reads as it is."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _overrides(label: str, name: str) -> list[str]:
    option = reader(name)
    if option is None:
        _check_option(name)
        return [f"+train_dataset@corpora.{label}={name}"]
    if not Path(name).exists():
        raise DataError(f"there is no file {name}")
    return [f"+train_dataset@corpora.{label}={option}", f"corpora.{label}.path={quoted(name)}"]


def _check_option(name: str) -> None:
    """Raise DataError for a file, or what looks like one, whose ending says no reader."""
    is_option = (CONF / "train_dataset" / f"{name}.yaml").is_file()
    if not is_option and (Path(name).exists() or Path(name).suffix or "/" in name):
        wrong = (
            "is a folder" if Path(name).is_dir() else "has another ending" if Path(name).exists() else "is not there"
        )
        endings = f"{', '.join(READERS)}, packed or not ({', '.join(PACKED)})"
        raise DataError(f"{name} {wrong}; give an option of conf/train_dataset, or a file that ends in {endings}")


def reader(name: str) -> str | None:
    """Return the option of conf/train_dataset that reads a file of this name, None for what is no such file."""
    path = Path(name.lower())
    return READERS.get(Path(path.stem).suffix if path.suffix in PACKED else path.suffix)
