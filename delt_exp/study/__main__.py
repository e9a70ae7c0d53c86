"""`python -m delt_exp.study FOLDER`: write the page of a study again, finished or not."""

import argparse
from pathlib import Path

from delt_exp.cli.reporting import reporting


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m delt_exp.study", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of a study, such as outputs/detection")
    from delt_exp.study.page import write_page

    with reporting():
        print(write_page(parser.parse_args().folder))


if __name__ == "__main__":
    main()
