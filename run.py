"""Score, select, order, train and evaluate: `python run.py --help`."""

from delt_exp.cli.main import main

if __name__ == "__main__":
    main()
