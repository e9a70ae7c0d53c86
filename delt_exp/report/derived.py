"""Whether the files of a run folder are those that the run would write again: then it need not, nor import Matplotlib.

`derived.json` says what they were made of, by the keys of all stages, and how large and how old each file is. A file
that is gone or was touched since, a changed stage or another version of the code that draws makes all of them anew.
"""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from delt_exp.errors import DataError
from delt_exp.files import digest, file_sha256, read_json, write_json

NOTE = "derived.json"
ALWAYS_WRITTEN = (NOTE, "record.json", "report.html")


def sources(run_id: str, keys: Sequence[str]) -> str:
    """Return what decides the files of a run: configuration, stages, and the code and libraries that write them."""
    # What Python compiles of these files, in a folder beside them, changes from run to run.
    files = sorted(path for path in Path(__file__).parent.iterdir() if path.is_file())
    code = [[path.name, file_sha256(path)] for path in files]
    return digest(run_id, list(keys), code, version("matplotlib"), version("pyarrow"))


def is_current(folder: Path, made_of: str) -> bool:
    """Return whether the files of a run folder were made of these sources and not touched since."""
    try:
        note: dict[str, Any] = read_json(folder / NOTE)
        return note["made_of"] == made_of and all(_state(folder / name) == was for name, was in note["files"].items())
    except (OSError, DataError, KeyError):
        return False


def note_files(folder: Path, made_of: str) -> None:
    """Write down what the files of a run folder are made of, and their state."""
    names = (str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file())
    files = {name: _state(folder / name) for name in names if name not in ALWAYS_WRITTEN}
    write_json(folder / NOTE, {"made_of": made_of, "files": files})


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
