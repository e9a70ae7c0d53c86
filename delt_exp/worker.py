"""One process of a job on several machines; start it on each of them by `torchrun ... -m delt_exp.worker JOB`.

JOB is a job file (see `distributed/job.py`), or the folder `trainer.jobs_dir` of a run: then the worker executes the
jobs that the run leaves there, until it ends. A process that fails leaves its message beside the job and ends with
status 1, and torchrun and the other processes end by that; none outlives the run.
"""

import gc
import os
import sys
import threading
import traceback
from pathlib import Path

from delt_exp.distributed.handover import FAILED, Run, report_failure, run_of
from delt_exp.distributed.job import FILE, run_job
from delt_exp.errors import DeltError
from delt_exp.runtime import quiet
from delt_exp.store.file_lock import hold

WATCH_SECONDS = 1.0


def main() -> None:
    """Execute the job, or all jobs of the run; leaves with status 1 when one fails."""
    if len(sys.argv) != 2 or "RANK" not in os.environ:
        raise SystemExit(f"error: start it by torchrun, with one argument: {(__doc__ or '').splitlines()[0]}")
    place, rank = Path(sys.argv[1]).absolute(), os.environ["RANK"]
    quiet()
    try:
        run = run_of(place)
        held = run and hold(run.folder / f"rank-{rank}")
        for job in [place] if run is None or place.name == FILE else run.jobs():
            execute(job, run)
            gc.collect()  # a worker that waits for the next job keeps nothing of this one
    except DeltError as error:
        raise SystemExit(f"error: {error}" if os.environ["LOCAL_RANK"] == "0" else 1) from None
    if held:
        held.close()


def execute(job: Path, run: Run | None) -> None:
    """Run one job as the rank that torchrun's environment says."""
    rank, num_processes = os.environ["RANK"], os.environ["WORLD_SIZE"]
    is_over = threading.Event()
    try:
        if run is not None:
            run.check(int(num_processes))
            threading.Thread(target=_end_with, args=(job, run, is_over), daemon=True).start()
        run_job(job)
        (job.parent / f"done-{rank}").touch()
    except Exception as error:
        if not isinstance(error, DeltError):
            traceback.print_exc()
        report_failure(job, f"process {rank} of {num_processes} failed: {type(error).__name__}: {error}")
        raise SystemExit(1) from None
    finally:
        is_over.set()


def _end_with(job: Path, run: Run, is_over: threading.Event) -> None:
    """End this process when the run is gone or another process has failed, also while it waits in a collective."""
    while not is_over.wait(WATCH_SECONDS):
        if not run.lives() or (job.parent / FAILED).exists():
            os._exit(1)


if __name__ == "__main__":
    main()
