"""Threads that sleep while they wait against threads that spin: a training run beside busy processes, and alone."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.table import Row, alternate, median_ratio, spread
from delt_exp.config.build import CONF

TRAIN = """
import sys
from pathlib import Path
from benchmarks.fixtures import config, train_job
from benchmarks.steady import run_ours
print(run_ours(train_job(config("model=tiny", "trainer=cpu"), Path(sys.argv[1]), int(sys.argv[2]))))
"""


def measure(quick: bool) -> list[Row]:
    """Return the rate of training with what the project sets over that with OMP_WAIT_POLICY=ACTIVE."""
    num_pairs, num_steps = (1, 10) if quick else (3, 60)
    rows = []
    with TemporaryDirectory() as store:
        _rate(store, num_steps, {})  # corpus and tokens are found from here on
        for busy in (2, 0):
            hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
            try:
                sides = alternate(
                    num_pairs,
                    lambda: _rate(store, num_steps, {}),
                    lambda: _rate(store, num_steps, {"OMP_WAIT_POLICY": "ACTIVE"}),
                )
            finally:
                for hog in hogs:
                    hog.kill()
                    hog.wait()
            beside = f"beside {busy} busy processes" if busy else "on an idle machine"
            detail = f"{os.cpu_count()} cores, {num_steps} steps of tiny; {spread(*sides)}"
            rows.append(Row(f"training {beside}, threads sleep", "threads spin", median_ratio(*sides), "x", detail))
    return rows


def _rate(store: str, num_steps: int, variables: dict[str, str]) -> float:
    """Return useful tokens per second of a training run in a process with these variables set."""
    unset = ("OMP_WAIT_POLICY", "KMP_BLOCKTIME", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
    environment = {key: value for key, value in os.environ.items() if key not in unset} | variables
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, store, str(num_steps)], env=environment, cwd=Path(CONF).parent,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout.splitlines()[-1])
