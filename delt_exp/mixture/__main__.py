"""Entry of `python -m delt_exp.mixture`."""

from delt_exp.cli.mixture import main

if __name__ == "__main__":
    main()
