"""`python -m delt_exp.study FOLDER`: write the page of a study again, finished or not."""

import argparse
import sys
from pathlib import Path

from delt_exp.errors import DeltError


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m delt_exp.study", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of a study, such as outputs/detection")
    from delt_exp.study.page import write_page

    try:
        print(write_page(parser.parse_args().folder))
    except DeltError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
