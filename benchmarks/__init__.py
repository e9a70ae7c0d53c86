"""Speed and memory against their aims: `python -m benchmarks --help`."""

import delt_exp  # noqa: F401  # sets how threads wait, before a benchmark loads torch
