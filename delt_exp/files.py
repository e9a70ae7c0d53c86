"""Files that are complete or absent: written aside, then renamed; and hashes of what is in them."""

import errno
import hashlib
import json
import math
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from delt_exp.errors import DataError, DeltError, DivergedError, StoreError
from delt_exp.progress import say


def digest(*parts: Any) -> str:
    """Return 16 hex digits that identify JSON-like values, bytes or arrays, in this order."""
    state = hashlib.blake2b(digest_size=8)
    for part in parts:
        raw = part if isinstance(part, bytes | memoryview) else _raw(part)
        state.update(len(raw).to_bytes(8, "little"))
        state.update(raw)
    return state.hexdigest()


def _raw(part: Any) -> bytes | memoryview:
    if hasattr(part, "tobytes"):
        return memoryview(part).cast("B") if part.flags.c_contiguous and part.size else part.tobytes()
    # A configuration is hashed for its name before its values are checked, so NaN has a hash too.
    return json.dumps(part, sort_keys=True, separators=(",", ":")).encode()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_below(folder: Path) -> list[Path]:
    """Return all files under a folder and the folders that links in it lead to, sorted.

    Raises DataError for a link that leads nowhere, OSError for a folder that cannot be read: no file is left out.
    """
    found, seen = list[Path](), set[str]()
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
        seen.add(os.path.realpath(place))
        folders[:] = [name for name in folders if os.path.realpath(Path(place, name)) not in seen]  # links in a circle
        found += (there(Path(place, name)) for name in names)
    return sorted(found)


def there(path: Path) -> Path:
    """Return the path of a file; raises DataError for a link that leads nowhere."""
    if path.is_symlink():
        try:
            path.stat()
        except FileNotFoundError:
            cure = "fetch that file, or remove the link"
            raise DataError(f"{path} is a link to {path.readlink()}, which is not there; {cure}") from None
        except OSError:  # links in a circle, which the system follows only so far
            pass
    return path


def _raise(error: OSError) -> None:
    raise error


def tree_digest(path: Path) -> str:
    """Return 16 hex digits that identify the names and contents of a file, or of all files under a folder.

    Hidden files and folders do not count: tools keep notes in them, such as when a file was fetched.
    """
    if not path.is_dir():
        return digest([[path.name, file_sha256(path)]])
    names = [file.relative_to(path) for file in files_below(path)]
    shown = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    return digest([[str(name), file_sha256(path / name)] for name in shown])


def obey_umask(path: Path) -> None:
    """Give a file the permissions of one that was just opened for writing, besides those that it has."""
    umask = os.umask(0)  # there is no way to read it alone
    os.umask(umask)
    path.chmod(stat.S_IMODE(path.stat().st_mode) | (0o666 & ~umask))


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Give a temporary path; when the block ends well, it becomes `path` in one step."""
    # Processes of several machines or containers may have the same id.
    aside = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON; raises DivergedError for NaN and infinities, which other readers reject."""
    where, bad = next(_not_finite(value), ("", 0.0))
    if where:
        raise DivergedError(
            f"{path.name}: {where} is {bad}, which is not a result; a computation has diverged: lower its learning rate"
        )
    with written_aside(path) as aside:
        aside.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _not_finite(value: Any, where: str = "") -> Iterator[tuple[str, float]]:
    """Yield (place, number) of every NaN and infinity inside a JSON-like value."""
    if isinstance(value, float) and not math.isfinite(value):
        yield where.removeprefix("."), value
    elif isinstance(value, dict | list | tuple):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _not_finite(inner, f"{where}.{key}")


def read_json(path: Path, cure: str = "remove it and repeat the command that wrote it") -> Any:
    """Return the parsed content of a JSON file this program wrote; raises DataError with a cure where it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # neither JSON nor UTF-8
        raise DataError(f"{path} is damaged ({error}); {cure}") from error


@cache
def read_json_once(path: Path, modified_ns: int) -> Any:
    """Return `read_json` of a file, parsed once as long as it is not written again; the result is not to be changed."""
    return read_json(path)


@dataclass(frozen=True)
class DescribedFolder:
    """Read-only view of a folder of data whose `meta.json` describes it."""

    folder: Path

    @cached_property
    def meta(self) -> dict[str, Any]:
        """What the folder holds, its digest among it."""
        meta: dict[str, Any] = read_json(self.folder / "meta.json")
        return meta

    @property
    def digest(self) -> str:
        """Hash of the content: equal digests mean equal data."""
        return str(self.meta["digest"])


@contextmanager
def locked(path: Path, waiting: str) -> Iterator[None]:
    """Hold the lock file beside `path`; say `waiting` when another process has it."""
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(waiting)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turn a full disk or a missing permission under `place` into one clear StoreError."""
    full = "the disk is full: free space (python -m delt_exp.store free --help) and repeat the command"
    try:
        yield
    except DeltError:
        raise
    except Exception as error:
        cures = {
            errno.ENOSPC: full,
            errno.EDQUOT: "the disk quota is used up: free space and repeat the command",
            errno.EACCES: "no permission to write there: choose another folder",
            errno.EPERM: "no permission to write there: choose another folder",
            errno.EROFS: "the file system is read-only: choose another folder",
            errno.ENOTDIR: "a file is in the way of the folder: choose another one",
            errno.EEXIST: "a file is in the way of the folder: choose another one",
        }
        cure = full if _tells_of_full_disk(error) else cures.get(getattr(error, "errno", None) or 0)
        if cure is None:
            raise
        where = Path(str(getattr(error, "filename", None) or place))
        if os.path.isfile(where) and not os.access(where, os.R_OK):
            raise StoreError(
                f"cannot read {where}: no permission to read it; ask its owner ({_owner(where)}) for 'chmod a+r', or "
                "choose another folder"
            ) from error
        raise StoreError(f"cannot write {where}: {cure}; finished stages are kept") from error


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:  # a number without a name, as in many containers
        return f"user {path.stat().st_uid}"


def _tells_of_full_disk(error: Exception) -> bool:
    """Safetensors and numpy report a full disk in words instead of by number."""
    text = str(error)
    return "No space left on device" in text or "os error 28" in text or ("requested and" in text and "written" in text)
