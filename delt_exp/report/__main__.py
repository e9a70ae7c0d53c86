"""`python -m delt_exp.report FOLDER`: draw the pictures and write the page of a run folder again."""

import argparse
from pathlib import Path

from delt_exp.cli.reporting import reporting
from delt_exp.errors import DataError
from delt_exp.files import disk_errors


def main() -> None:
    """Run the command line; leaves with status 1 and one message where there is no run."""
    parser = argparse.ArgumentParser(prog="python -m delt_exp.report", description="Write the page of a run again.")
    parser.add_argument("folder", type=Path, help="folder of a finished run, the one with record.json")
    folder: Path = parser.parse_args().folder
    from jinja2 import UndefinedError

    from delt_exp.report.page import write_report

    with reporting(), disk_errors(folder):
        try:
            print(write_report(folder))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DataError(
                f"{error.filename} is missing: give the folder of a finished run, the one with record.json"
            ) from error
        except (KeyError, UndefinedError) as error:
            raise DataError(
                f"{folder / 'record.json'} lacks something that the page shows ({error}): it was edited, or another "
                f"version of this program wrote it; repeat the command of that run, which writes it again"
            ) from error


if __name__ == "__main__":
    main()
