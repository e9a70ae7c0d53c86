"""Compressed files, known by their first bytes and not by their names."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from delt_exp.errors import DataError

PACKED = (".gz", ".bz2", ".xz", ".zst")  # names of what `opened` unpacks
HEAD_BYTES = 512  # tar writes its mark at byte 257


def opened(file: Path) -> IO[bytes]:
    """Open a file for reading bytes; gzip, bzip2, xz and Zstandard are unpacked as a stream, several members in a row.

    Raises DataError, with a cure, for an archive or a format that is no text.
    """
    with file.open("rb") as plain:
        head = plain.read(HEAD_BYTES)
    opener = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)
    if opener is not None:
        with opener(file) as unpacked:
            head = unpacked.read(HEAD_BYTES)
    advice = foreign(head)
    if advice is not None:
        raise DataError(f"{file} {'holds' if opener else 'is'} {advice}")
    return file.open("rb") if opener is None else cast(IO[bytes], opener(file))


def foreign(head: bytes) -> str | None:
    """Return what the first bytes of a file show, with a cure, where that is no text."""
    found = next((advice for magic, advice in _FOREIGN.items() if head.startswith(magic)), None)
    if found is None and head[257:262] == b"ustar":
        found = "a tar archive. Unpack it first, for example with 'tar -xf'."
    if found is None and b"\0" in head:
        found = (
            f"no UTF-8 text: byte {head.index(0)} is 0x00. Convert UTF-16 with 'iconv -f utf-16le -t utf-8', remove a "
            "stray byte with \"tr -d '\\000'\", or choose another file."
        )
    return found


def _zstandard(file: Path) -> IO[bytes]:
    import pyarrow as pa  # 0.2 s that only readers of such files pay

    return io.BufferedReader(cast(Any, pa.CompressedInputStream(pa.OSFile(str(file)), "zstd")), 1 << 20)


_OPENERS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"\x28\xb5\x2f\xfd": _zstandard,
    **{bytes([0x50 + kind]) + b"\x2a\x4d\x18": _zstandard for kind in range(16)},  # begins with a frame to skip
}
_FOREIGN = {
    b"PK\x03\x04": "a zip archive. Unpack it first, for example with 'unzip'.",
    b"\x04\x22\x4d\x18": "compressed with LZ4. Unpack it first, for example with 'lz4 -d'.",
    b"7z\xbc\xaf": "a 7z archive. Unpack it first.",
    b"\x1f\x9d": "compressed by 'compress'. Unpack it first, for example with 'uncompress'.",
    b"%PDF-": "a PDF document. Extract its text first, for example with 'pdftotext'.",
    b"version https://git-lfs": "a git-lfs pointer instead of the data. Fetch them with 'git lfs pull'.",
    b"PAR1": "a Parquet file. Read it with train_dataset=parquet (target_dataset=parquet ...).",
    b"ARROW1": "an Arrow file. Read its folder with train_dataset=hub train_dataset.repo=FOLDER.",
    b"\xff\xfe\x00\x00": "UTF-32 text. Convert it first, for example with 'iconv -f utf-32 -t utf-8'.",
    b"\x00\x00\xfe\xff": "UTF-32 text. Convert it first, for example with 'iconv -f utf-32 -t utf-8'.",
    b"\xff\xfe": "UTF-16 text. Convert it first, for example with 'iconv -f utf-16 -t utf-8'.",
    b"\xfe\xff": "UTF-16 text. Convert it first, for example with 'iconv -f utf-16 -t utf-8'.",
}
