"""Files locked as long as a process lives, on any machine that sees them; the kernel frees them however it ends.

`flock` is what lets two runs share one computation, workers take shards, and workers end with their run. Some file
systems accept the call and lock nothing, and some refuse it, so it is tried before it is relied on.
"""

import fcntl
import os
import socket
from functools import cache
from pathlib import Path
from typing import IO

from delt_exp.errors import StoreError

CURE = (
    "mount the file system with file locks (Lustre: -o flock; NFS: without nolock and local_lock), or choose another "
    "one: output_dir=FOLDER or store.root=FOLDER"
)


def hold(path: Path) -> IO[bytes]:
    """Make the file `path`, locked from the first moment on, until it is closed or this process ends."""
    aside = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    file = aside.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        aside.rename(path)
    except OSError:
        file.close()
        aside.unlink()
        raise
    return file


def is_held(path: Path) -> bool:
    """Whether the process that holds `path` lives; false where there is no such file."""
    try:
        with path.open("rb") as file:
            return is_locked(file)
    except FileNotFoundError:
        return False


def is_locked(file: IO[bytes]) -> bool:
    """Whether another process holds the file that was opened as `file`, also when its name now stands for another."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


@cache
def check_locks(folder: Path) -> None:
    """Raise StoreError when `flock` does not lock in `folder`; tried once by each process."""
    # In containers of several machines, processes have the same ids.
    path = folder / f".lock-test.{socket.gethostname()}.{os.getpid()}"
    try:
        with hold(path), path.open("rb") as second:
            if is_locked(second):
                return
        reason = "two processes got the same lock"
    except OSError as error:
        if error.filename is not None:  # the folder cannot be written, which is another matter
            raise
        reason = f"the lock was refused: {error.strerror}"
    finally:
        path.unlink(missing_ok=True)
    raise StoreError(f"file locks (flock) do not work in {folder}: {reason}; {CURE}")
