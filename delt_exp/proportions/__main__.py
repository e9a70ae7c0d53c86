"""Entry of `python -m delt_exp.proportions`."""

from delt_exp.cli.proportions import main

main()
