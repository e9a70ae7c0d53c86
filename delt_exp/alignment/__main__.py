"""Entry of `python -m delt_exp.alignment`."""

from delt_exp.cli.alignment import main

main()
