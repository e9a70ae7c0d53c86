"""What the file corpora share: which files, in which order, and how they are read and hashed."""

import glob
import gzip
import hashlib
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import ClassVar

from delt_exp.checks import check_integer
from delt_exp.dataset.base import Document
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import file_sha256


@dataclass(frozen=True)
class FileDataset(ABC):
    """Documents of the files under `path`, read as a stream: memory holds one record, whatever the file's size.

    `path` is a file, a glob (`**` recurses) or a list of them; matches of one glob are sorted, and a file that is
    matched twice is read once. `split` fills in `{split}` in `path`. `name` labels the documents. The stream ends
    after `max_documents` (None: no limit).
    """

    VERSION: ClassVar[int] = 1

    path: str | Sequence[str]
    split: str | None
    name: str
    max_documents: int | None

    def __post_init__(self) -> None:
        check_limit("max_documents", self.max_documents)
        if not self.path:
            raise ConfigError(f"path={self.path!r} names no file. Give a file, a glob or a list of them.")
        for pattern in self._paths():
            if ("{split}" in pattern) != (self.split is not None):
                raise ConfigError(
                    f"path={pattern} and split={self.split} do not go together: split is what stands for '{{split}}' "
                    "in path. Set both or neither."
                )

    @abstractmethod
    def read(self, file: Path) -> Iterator[Document]:
        """Yield the documents of one file; raises DataError with its line or row."""

    def documents(self) -> Iterator[Document]:
        """Yield the documents in the order of the files and of their lines or rows.

        Raises DataError: no such file, an empty file, a file without records, or a record that cannot be read.
        """
        return islice(chain.from_iterable(map(self._read_checked, self.files())), self.max_documents)

    def fingerprint(self) -> str:
        """Return the SHA-256 of the files' names and contents, in reading order; it does not depend on the folder."""
        return content_hash(self.files())

    def files(self) -> list[Path]:
        """Return the files in reading order; raises DataError when one is missing or empty."""
        patterns = [path.replace("{split}", self.split or "") for path in self._paths()]
        found = dict.fromkeys(chain.from_iterable(map(_matches, patterns)))
        for file in found:
            if not file.is_file():
                raise DataError(f"{file} is a folder, not a file. Name files in it, for example '{file}/*'.")
            if file.stat().st_size == 0:
                raise DataError(f"{file} is empty (0 bytes). Remove it, or write it again.")
        return list(found)

    def _paths(self) -> Sequence[str]:
        return [self.path] if isinstance(self.path, str) else self.path

    def _read_checked(self, file: Path) -> Iterator[Document]:
        document = None
        try:
            for document in self.read(file):
                yield document
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{file} cannot be read: {error}. Check its permissions, or write it again.") from error
        if document is None:
            raise DataError(f"{file} holds no record. Remove it, or write it again.")


def lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line with its end) of a UTF-8 file, unpacked when named `*.gz`; no byte-order mark.

    Raises DataError at the first byte that is not UTF-8, with its line and its offset in the (unpacked) file.
    """
    offset = 0
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            try:
                line = raw.decode()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{file}:{number}: byte 0x{raw[error.start]:02x} at offset {offset + error.start} is not UTF-8. "
                    "Convert the file first, for example with 'iconv -f latin1 -t utf-8'."
                ) from error
            offset += len(raw)
            yield number, line.removeprefix("\ufeff") if number == 1 else line


def content_hash(files: Iterable[Path]) -> str:
    """Return the SHA-256 over names and contents of `files`, in this order; raises DataError for an unreadable one."""
    total = hashlib.sha256()
    for file in files:
        try:
            total.update(f"{file_sha256(file)} {file.name}\n".encode())
        except OSError as error:
            raise DataError(f"{file} cannot be read: {error.strerror}. Check its permissions.") from error
    return total.hexdigest()


def check_limit(key: str, limit: int | None) -> None:
    """Raise ConfigError unless `limit` is None (no limit) or at least 0."""
    if limit is not None:
        check_integer(key, limit, at_least=0)


def _matches(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    matches = [path] if path.exists() else map(Path, sorted(glob.glob(str(path), recursive=True)))
    found = [match for match in matches if match == path or match.is_file()]
    if not found:
        raise DataError(
            f"no file matches path={pattern} (working folder: {Path.cwd()}). Correct the path; a preset over the local "
            "data folder needs data_dir=FOLDER or the environment variable DELT_DATA_DIR."
        )
    return found
