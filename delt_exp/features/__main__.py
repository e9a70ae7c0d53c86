"""Entry of `python -m delt_exp.features`."""

from delt_exp.cli.features import main

if __name__ == "__main__":
    main()
