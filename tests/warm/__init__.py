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
from pathlib import Path

FOLDER = "DELT_EXP_TESTS_WARM"  # the variable by which all processes of a session find it


def python() -> str:
    """Return the path of an executable that takes what `python` takes; it starts the server when it is first used."""
    if FOLDER not in os.environ:
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="warm-")
        atexit.register(shutil.rmtree, os.environ[FOLDER], ignore_errors=True)
    path = Path(os.environ[FOLDER], "python")
    if not path.exists():
        code = Path(__file__).with_name("launcher.py").read_text()
        path.write_text(f"#!{sys.executable} -IS\nOWNER, SERVER = {os.getpid()}, {str(_server())!r}\n{code}")
        path.chmod(0o755)
    return str(path)


def _server() -> Path:
    return Path(__file__).with_name("server.py")
