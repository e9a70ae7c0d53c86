"""Entry of `python -m delt_exp.dashboard`."""

from delt_exp.dashboard.command import main

if __name__ == "__main__":
    main()
