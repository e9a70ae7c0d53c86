"""Pages of studies in the site: kept in docs/results without plotly.js (5 MB), which every build of the site puts back.

`python docs/study_pages.py outputs/NAME` keeps the page of a study and its tables in docs/results/NAME.
"""

import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

RESULTS = Path(__file__).parent / "results"
PLACE = "/* plotly.js */"


def keep(study: Path, results: Path = RESULTS) -> Path:
    """Copy page and tables of a study; links to the pages of its runs, which stay behind, become plain text."""
    folder = results / study.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for table in (study / "tables").glob("*.csv"):
        shutil.copyfile(table, folder / table.name)
    page = (study / "report.html").read_text().replace(get_plotlyjs(), PLACE)
    (folder / "report.html").write_text(re.sub(r'<a href="\.\./runs/[^"]*">(.*?)</a>', r"\1", page))
    return folder


def on_post_build(config: Mapping[str, Any], **_: Any) -> None:
    """Complete the pages of studies in a site that was built."""
    for page in Path(config["site_dir"], "results").glob("*/report.html"):
        page.write_text(page.read_text().replace(PLACE, get_plotlyjs()))


if __name__ == "__main__":
    print(keep(Path(sys.argv[1])))
