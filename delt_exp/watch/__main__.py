"""Entry of `python -m delt_exp.watch`."""

from delt_exp.cli.watch import main

if __name__ == "__main__":
    main()
