"""Compressed files, known by their first bytes and not by their names."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from delt_exp.errors import DataError

LONGEST_MAGIC = 8


def opened(file: Path) -> IO[bytes]:
    """Open a file for reading bytes; gzip, bzip2, xz and Zstandard are unpacked as a stream, several members in a row.

    Raises DataError, with a cure, for an archive or a format that is no text.
    """
    with file.open("rb") as plain:
        head = plain.read(LONGEST_MAGIC)
    for magic, advice in _FOREIGN.items():
        if head.startswith(magic):
            raise DataError(f"{file} is {advice}")
    opener = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)
    return file.open("rb") if opener is None else cast(IO[bytes], opener(file))


def _zstandard(file: Path) -> IO[bytes]:
    import pyarrow as pa  # 0.2 s that only readers of such files pay

    return io.BufferedReader(cast(Any, pa.CompressedInputStream(pa.OSFile(str(file)), "zstd")), 1 << 20)


_OPENERS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"\x28\xb5\x2f\xfd": _zstandard,
}
_FOREIGN = {
    b"PK\x03\x04": "a zip archive. Unpack it first, for example with 'unzip'.",
    b"\x04\x22\x4d\x18": "compressed with LZ4. Unpack it first, for example with 'lz4 -d'.",
    b"7z\xbc\xaf": "a 7z archive. Unpack it first.",
    b"PAR1": "a Parquet file. Read it with train_dataset=parquet (target_dataset=parquet ...).",
    b"ARROW1": "an Arrow file. Read its folder with train_dataset=hub train_dataset.repo=FOLDER.",
    b"\xff\xfe": "UTF-16 text. Convert it first, for example with 'iconv -f utf-16 -t utf-8'.",
    b"\xfe\xff": "UTF-16 text. Convert it first, for example with 'iconv -f utf-16 -t utf-8'.",
}
