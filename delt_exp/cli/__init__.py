"""The command lines: `run.py`, and the tools that are called as `python -m delt_exp.NAME`."""
