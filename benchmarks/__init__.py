"""Speed and memory against their aims: `python -m benchmarks --help`."""
