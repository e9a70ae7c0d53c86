"""Entry of `python -m delt_exp.export`."""

from delt_exp.cli.export import main

if __name__ == "__main__":
    main()
