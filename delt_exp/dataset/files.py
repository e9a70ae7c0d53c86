"""What the file corpora share: which files, in which order, and how they are read and hashed."""

import glob
import lzma
import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import ClassVar, TypeVar

from delt_exp.config.fields import NonNegativeInt, settings
from delt_exp.dataset.base import Document, EmptyFile
from delt_exp.dataset.compression import opened
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import digest, file_sha256, files_below, there
from delt_exp.progress import say

T = TypeVar("T")


@settings
class FileDataset(ABC):
    """Documents of the files under `path`, read as a stream: memory holds one record, whatever the file's size.

    `path` is a file, a folder, a glob (`**` recurses) or a list of them; matches of one glob are sorted, and a file
    that is matched twice, or by two links, is read once. Of a folder or a glob, markers such as `_SUCCESS`, hidden
    files and checksums are skipped, and of a folder also names without one of SUFFIXES where some have one.
    `split` fills in `{split}` in `path`. `name` labels the documents. The stream ends after `max_documents` (None: no
    limit).
    """

    VERSION: ClassVar[int] = 2
    SUFFIXES: ClassVar[tuple[str, ...]] = ()

    path: str | Sequence[str]
    split: str | None
    name: str
    max_documents: NonNegativeInt | None

    def __post_init__(self) -> None:
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
        """Yield the documents in the order of the files and of their lines or rows; an EmptyFile for one without any.

        Raises DataError: no such file, files of which none has a record, or a record that cannot be read.
        """
        files = self.files()
        num_documents = 0
        for document in chain.from_iterable(map(self._read_checked, files)):
            if not isinstance(document, EmptyFile):
                if num_documents == self.max_documents:
                    return
                num_documents += 1
            yield document
        if num_documents == 0 and self.max_documents != 0:
            raise DataError(f"{_nothing_in(files)}. Correct path={self.path}, or write the data again.")

    def fingerprint(self) -> str:
        """Return a hash of the files' contents and of their names below the folder they share, in reading order."""
        return content_hash(self.files())

    def files(self) -> list[Path]:
        """Return the files in reading order; raises DataError when one is missing."""
        patterns = [path.replace("{split}", self.split or "") for path in self._paths()]
        found: dict[str, Path] = {}
        links = 0
        for file in chain.from_iterable(self._matches(pattern) for pattern in patterns):
            links += found.setdefault(os.path.realpath(file), file) != file
        if links:
            say(f"read once: {links} matches of path={self.path} are links to a file that is already there")
        return list(found.values())

    def _paths(self) -> Sequence[str]:
        return [self.path] if isinstance(self.path, str) else self.path

    def first(self, read: Callable[[Path], Iterator[T]]) -> Iterator[T]:
        """Yield what `read` makes of the files, as much as `documents` would; errors of reading are those of it."""

        def checked(file: Path) -> Iterator[T]:
            with reading(file):
                if file.stat().st_size:
                    yield from read(file)

        return islice(chain.from_iterable(map(checked, self.files())), self.max_documents)

    def _read_checked(self, file: Path) -> Iterator[Document]:
        document = None
        with reading(file):
            if file.stat().st_size:
                for document in self.read(file):
                    yield document
        if document is None:
            yield EmptyFile("", source=self.name)

    def _matches(self, pattern: str) -> list[Path]:
        """Return the files of one entry of `path`; says what is skipped."""
        path = Path(pattern).expanduser()
        if path.is_file():
            return [path]
        if path.is_dir():
            _refuse_saved_dataset(path)
            found = self._data_files(path)
        else:
            matched = map(Path, sorted(glob.glob(str(path), recursive=True)))
            found = [file for file in map(there, matched) if file.is_file()]
        kept = [file for file in found if not _is_marker(file, path)]
        if len(kept) < len(found):
            names = sorted({file.name for file in found} - {file.name for file in kept})
            say(f"skipped in {path}: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}")
        if not kept:
            raise DataError(
                f"no file matches path={pattern} (working folder: {Path.cwd()}). Correct the path; a preset over the "
                "local data folder needs data_dir=FOLDER or the environment variable DELT_DATA_DIR."
            )
        return kept

    def _data_files(self, folder: Path) -> list[Path]:
        """Return all files below a folder; those with one of SUFFIXES where there are some."""
        found = files_below(folder)
        named = [file for file in found if {suffix.lower() for suffix in file.suffixes} & set(self.SUFFIXES)]
        if named and len(named) < len(found):
            say(f"of {len(found)} files in {folder}, the {len(named)} with {' or '.join(self.SUFFIXES)} are read")
        return named or found


def _nothing_in(files: Sequence[Path]) -> str:
    if len(files) > 1:
        return f"none of {len(files)} files holds a record, {files[0]} the first"
    return f"{files[0]} {'holds no record' if files[0].stat().st_size else 'is empty (0 bytes)'}"


def _is_marker(file: Path, asked: Path) -> bool:
    """Whether a file is what writers leave beside data, unless a glob asks for such names."""
    if asked.is_dir():
        return file.suffix == ".crc" or any(part[0] in "._" for part in file.relative_to(asked).parts)
    return file.suffix == ".crc" or file.name[0] in {".", "_"} - {asked.name[:1]}


def _refuse_saved_dataset(folder: Path) -> None:
    if (folder / "state.json").exists() or (folder / "dataset_dict.json").exists():
        raise DataError(
            f"{folder} was written by save_to_disk of `datasets`. Read it with train_dataset=hub "
            f"train_dataset.repo={folder} (or target_dataset=hub ...)."
        )


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Raise DataError for a file that may not be read, ends too early or is damaged."""
    try:
        yield
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{file} cannot be read: {error}. Check its permissions, or write it again.") from error


def lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line with its end) of a UTF-8 file, unpacked as `opened` does; no byte-order mark.

    Raises DataError at the first byte that is not UTF-8, with its line and its offset in the (unpacked) file.
    """
    offset = 0
    with opened(file) as stream:
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
    """Return a hash of the contents of `files`, in this order, and of their names below the folder that they share.

    A folder that is moved as a whole keeps its hash. Raises DataError for an unreadable file.
    """
    found = list(files)
    shared = os.path.commonpath([file.absolute().parent for file in found]) if found else ""
    parts = []
    for file in found:
        try:
            parts.append([os.path.relpath(file.absolute(), shared), file_sha256(file)])
        except OSError as error:
            raise DataError(f"{file} cannot be read: {error.strerror}. Check its permissions.") from error
    return digest(parts)
