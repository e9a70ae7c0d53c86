"""`python -m delt_exp.alignment`."""

from delt_exp.alignment.command import main

main()
