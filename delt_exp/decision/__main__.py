"""Entry of `python -m delt_exp.decision`."""

from delt_exp.cli.decision import main

if __name__ == "__main__":
    main()
