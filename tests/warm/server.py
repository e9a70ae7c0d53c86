"""Loads the large packages once and forks a process for each launcher that asks; ends with its owner.

python server.py OWNER LISTENER    the id of the process whose end is its own, the number of a listening socket
"""

import array
import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from types import ModuleType
from typing import Any, NoReturn

PACKAGES = (
    "torch", "torch.distributed.launcher.api", "torch.distributed.tensor", "pytorch_lightning", "tokenizers",
    "transformers.modeling_utils", "transformers.models.gpt2.modeling_gpt2", "transformers.models.llama.modeling_llama",
    "safetensors.torch", "hydra", "pydantic", "yaml", "filelock", "pyarrow.parquet", "datasets", "pandas", "scipy.stats",
    "matplotlib.backends.backend_agg", "matplotlib.figure", "plotly.graph_objects", "wandb", "pytest",
)  # fmt: skip


def serve(owner: int, listener: socket.socket) -> dict[str, Any]:
    """Fork for every request until the owner ends; returns the request in the process that was forked for it."""
    running: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([listener, *running.values()], [], [], 0.02 if running else 1.0)
        while running and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            with running.pop(ended[0]) as connection:
                _tell(connection, os.waitstatus_to_exitcode(ended[1]))
        for process, connection in running.items():
            if connection in ready and not connection.recv(1):
                os.kill(process, signal.SIGKILL)  # its launcher was
        if not _lives(owner):
            for process in running:
                os.kill(process, signal.SIGKILL)
            sys.exit()
        if listener not in ready:
            continue
        connection = listener.accept()[0]
        request = _read(connection)
        process = os.fork()
        if process == 0:
            for other in (listener, connection, *running.values()):
                other.close()
            return request
        for number in request["open"]:
            os.close(number)
        running[process] = connection
        _tell(connection, process)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _tell(connection: socket.socket, number: int) -> None:
    with suppress(OSError):  # its launcher was killed
        connection.sendall(f"{number}\n".encode())


def _read(connection: socket.socket) -> dict[str, Any]:
    header, control, _, _ = connection.recvmsg(4, socket.CMSG_SPACE(4 * 250))
    numbers = array.array("i", control[0][2]) if control else array.array("i")
    size, data = int.from_bytes(header, "big"), b""
    while len(data) < size:
        data += connection.recv(size - len(data))
    return {**json.loads(data), "open": numbers.tolist()}


def enter(request: dict[str, Any]) -> None:
    """Give this process the files, folder, environment and search path of the launcher."""
    os.setsid()
    high = [os.dup(number) if number < 256 else number for number in request["open"]]
    for number, given in zip(request["files"], high, strict=True):
        os.dup2(given, number)
    for number in (*request["open"], *high):
        if number not in request["files"]:
            with suppress(OSError):  # closed before
                os.close(number)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = list(dict.fromkeys([*given, *SYSTEM_PATH]))


def run(words: list[str]) -> None:
    """Do what `python` does with these words; those that are not known here go to the real one."""
    rest = [word for word in words if word not in ("-u", "-B", "-s")] if words[:1] != ["-c"] else words
    kind = rest[0] if rest else ""
    if kind == "-m":
        sys.argv, sys.path[:0] = rest[1:], [os.getcwd()]
        runpy.run_module(rest[1], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv, sys.path[:0] = ["-c", *rest[2:]], [""]
        sys.modules["__main__"] = main = ModuleType("__main__")
        exec(compile(rest[1], "<string>", "exec"), main.__dict__)
    elif kind and not kind.startswith("-"):
        sys.argv, sys.path[:0] = rest, [os.path.dirname(os.path.abspath(kind))]
        runpy.run_path(kind, run_name="__main__")
    else:
        os.execv(sys.executable, [sys.executable, *words])


def finish(words: list[str]) -> NoReturn:
    """Run and end as `python` does, without taking apart what it has loaded, which would copy all of the server."""
    status: Any = 0
    try:
        run(words)
    except SystemExit as end:
        status = end.code or 0
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        status = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    if not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status & 0xFF)


if __name__ == "__main__":
    SYSTEM_PATH = sys.path[1:]  # without this folder
    sys.path[:] = SYSTEM_PATH
    for name in PACKAGES:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()
    given = serve(int(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))
    enter(given)
    finish(given["words"])
