"""The same command twice: what finding every stage costs against computing it."""

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.table import Row
from delt_exp.config.build import CONF


def measure(quick: bool) -> list[Row]:
    """Return the wall time of the second `python run.py` over that of the first, both real processes."""
    overrides = ["experiment=smoke"] if quick else []
    with TemporaryDirectory() as folder:
        command = [sys.executable, "run.py", *overrides, f"output_dir={folder}"]
        first, second = (_seconds(command) for _ in range(2))
    detail = f"`{' '.join(['python run.py', *overrides])}`: {first:.1f} s, then {second:.1f} s"
    return [Row("second identical run", "the first", 100 * second / first, "%", detail, below=5.0)]


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, cwd=Path(CONF).parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started
