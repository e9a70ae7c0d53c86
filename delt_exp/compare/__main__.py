"""Entry of `python -m delt_exp.compare`."""

from delt_exp.cli.compare import main

if __name__ == "__main__":
    main()
