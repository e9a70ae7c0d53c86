"""How shards are written: one class per format."""

from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from delt_exp.export.mds import Mds
from delt_exp.export.records import HuggingFace, Jsonl, Parquet
from delt_exp.export.stream import TokenStream


class Format(Protocol):
    """Writes the positions [start, stop) of an export to one file."""

    name: ClassVar[str]
    max_shard_bytes: ClassVar[int | None]  # that a shard can have, None for any number
    columns: tuple[str, ...]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """[K] about how many bytes each document takes."""

    def file_name(self, number: int, count: int) -> str:
        """Return the name of shard `number` of `count`; names in alphabetical order are shards in order."""

    def write(self, path: Path, start: int, stop: int) -> None:
        """Write one shard."""

    def finish(self, folder: Path, names: list[str]) -> None:
        """Write what a reader of this format needs beside the shards."""


FORMATS: dict[str, Any] = {form.name: form for form in (Jsonl, Parquet, HuggingFace, Mds, TokenStream)}
