"""Runs a job: `python -m delt_exp.worker JOB`."""

import sys
from pathlib import Path

from delt_exp.distributed.job import run_job

if __name__ == "__main__":
    run_job(Path(sys.argv[1]))
