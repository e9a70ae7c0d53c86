"""The worker, allowed to run the functions of these tests: `torchrun ... -m tests.distributed.worker JOB`."""

from delt_exp.distributed import job
from delt_exp.worker import main

if __name__ == "__main__":
    job.PACKAGES = ("delt_exp.", "tests.")
    main()
