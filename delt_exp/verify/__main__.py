"""Entry of `python -m delt_exp.verify`."""

from delt_exp.cli.verify import main

if __name__ == "__main__":
    main()
