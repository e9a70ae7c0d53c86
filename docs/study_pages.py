"""Pages of studies, kept in docs/results with a picture of every chart instead of plotly.js (5 MB).

A kept page opens by itself; every build of the site puts plotly.js back, and with it the charts.
`python docs/study_pages.py outputs/NAME [CHART ...]` keeps the page of a study and its tables in docs/results/NAME, and
the charts that are named as CHART.svg beside them, for other pages; it needs Chromium.
"""

import base64
import html
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote

from plotly.offline import get_plotlyjs

RESULTS = Path(__file__).parent / "results"
PLACE = "/* plotly.js */"
WIDTHS = (940, 380)  # pixels of a picture on a wide screen and on a phone
PHONE = "(max-width: 640px)"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FONT = "system-ui, sans-serif"  # a picture inherits neither font nor background from the page

# Runs after the script of the page, whose `charts` and `figureOf` it uses.
PICTURES = """<pre id="pictures"></pre><script>
const picture = async (chart, width) => {
  const { data, layout } = figureOf(chart, width), { height } = layout;
  layout.font.family = FONT;
  layout.paper_bgcolor = "white";
  const image = await Plotly.toImage({ data, layout }, { format: "svg", width: layout.width, height });
  return [`${chart.place.id}@${width}`, image];
};
Promise.all(charts.flatMap((chart) => WIDTHS.map((width) => picture(chart, width)))).then((all) => {
  document.getElementById("pictures").textContent = JSON.stringify(Object.fromEntries(all));
});
</script>"""


def keep(study: Path, charts: Sequence[str] = (), results: Path = RESULTS) -> Path:
    """Copy page, tables and charts of a study; links to the pages of its runs, which stay behind, become plain text."""
    folder = results / study.name
    page = (study / "report.html").read_text()
    if get_plotlyjs() not in page:
        raise SystemExit(f"{study} has another plotly.js: write it again by python -m delt_exp.study {study}")
    pictures = pictures_of(page)

    def shown(place: re.Match[str]) -> str:
        begin, title, name = place.groups()
        wide, narrow = (_address(pictures[f"{name}@{width}"]) for width in WIDTHS)
        return f'{begin}<picture><source media="{PHONE}" srcset="{narrow}"><img src="{wide}" alt="{title}"></picture>'

    page = re.sub(r'<a href="\.\./runs/[^"]*">(.*?)</a>', r"\1", page.replace(get_plotlyjs(), PLACE))
    page = re.sub(r'(<div class="plot"[^>]*aria-label="([^"]*)" id="([^"]*)"[^>]*>)(?=</div>)', shown, page)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for table in (study / "tables").glob("*.csv"):
        shutil.copyfile(table, folder / table.name)
    for chart in charts:
        (folder / f"{chart}.svg").write_text(pictures[f"figure-{chart}@{WIDTHS[0]}"])
    (folder / "report.html").write_text(page)
    return folder


def pictures_of(page: str) -> dict[str, str]:
    """Return every chart of a page as SVG, by the id of its place, "@" and the width."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"none of {', '.join(BROWSERS)} is on the PATH: install one, it draws the pictures of charts")
    script = PICTURES.replace("WIDTHS", json.dumps(WIDTHS)).replace("FONT", json.dumps(FONT))
    with TemporaryDirectory() as name:
        path = Path(name, "page.html")
        path.write_text(page.replace("</body>", script + "</body>"))
        command = [browser, "--headless", "--no-sandbox", "--virtual-time-budget=60000", "--dump-dom", path.as_uri()]
        seen = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(html.unescape(seen.partition('<pre id="pictures">')[2].partition("</pre>")[0]))
    return {key: unquote(address.partition(",")[2]) for key, address in found.items()}


def _address(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def on_post_build(config: Mapping[str, Any], **_: Any) -> None:
    """Complete the pages of studies in a site that was built."""
    for page in Path(config["site_dir"], "results").glob("*/report.html"):
        page.write_text(page.read_text().replace(PLACE, get_plotlyjs()))


if __name__ == "__main__":
    print(keep(Path(sys.argv[1]), sys.argv[2:]))
