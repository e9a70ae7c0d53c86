"""A `python` for tests: each of its processes is forked from one server, which has loaded the large packages already.

Torch, Lightning, transformers and what else pages, tables and runs need take five seconds of computing in every process
that is started anew, and tests start a hundred. Nothing of this project is loaded in the server: what a process runs is
what the real interpreter runs, with the same arguments, environment, folder and open files. A process that is about
start-up itself (what is imported, how threads are told to wait) is started by the real interpreter.
"""

import atexit
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

FOLDER = "DELT_EXP_TESTS_WARM"  # the variable by which all processes of a session find it


def python() -> str:
    """Return the path of an executable that takes what `python` takes; it starts the server when it is first used."""
    if FOLDER not in os.environ:
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="warm-")
        atexit.register(shutil.rmtree, os.environ[FOLDER], ignore_errors=True)
    path = Path(os.environ[FOLDER], "python")
    if not path.exists():
        code, server = (Path(__file__).with_name(name) for name in ("launcher.py", "server.py"))
        path.write_text(f"#!{sys.executable} -IS\nOWNER, SERVER = {os.getpid()}, {str(server)!r}\n{code.read_text()}")
        path.chmod(0o755)
    return str(path)


def process_of(launcher: int) -> int:
    """Return the id of the process that the executable with this id stands for; waits until there is one."""
    file, deadline = Path(os.environ[FOLDER], f"process-{launcher}"), time.monotonic() + 60
    while not file.exists() or not file.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(file.read_text())
