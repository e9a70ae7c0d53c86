"""Entry of `python -m delt_exp.study.dashboard`."""

from delt_exp.cli.dashboard import main

if __name__ == "__main__":
    main()
