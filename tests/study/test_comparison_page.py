"""The page of a comparison in a real browser: it opens without a complaint, its tables sort and filter."""

import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from delt_exp.study.page import PAGE_ROWS, write_page
from tests.report.test_page import BROWSER, EVIL, Page, browse
from tests.study.comparison_studies import BASE, Planted, arm, write_study
from tests.study.test_comparison import ARMS

needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on the PATH")
# Clicks and types as a reader would, then writes down what is seen.
DRIVE = """
<pre id="seen"></pre><script>
const board = document.getElementById("table-leaderboard");
const names = () => [...board.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[1].textContent);
const head = [...board.tHead.rows[0].cells].find((cell) => cell.textContent === "minus baseline");
const seen = { first: names() };
head.click();
seen.ascending = names();
head.click();
seen.descending = names();
const filter = board.closest("section").querySelector(".filter");
filter.value = "LQS sorting";
filter.dispatchEvent(new Event("input"));
seen.filtered = names();
seen.plots = [...document.querySelectorAll(".plot")].map((plot) => plot.querySelectorAll(".main-svg").length > 0);
document.getElementById("seen").textContent = JSON.stringify(seen);
</script>
"""

# Tries what could carry data away, and writes down what Plotly offers.
LEAVE = """
<iframe name="inner"></iframe>
<form id="leave" target="inner" action="http://127.0.0.1:{port}/form" method="post"><input name="d"></form>
<pre id="offers"></pre><script>
const plots = [...document.querySelectorAll(".plot")];
const offers = {
  buttons: [...document.querySelectorAll(".modebar-btn")].map((button) => button.dataset.title || ""),
  share: plots.map((plot) => plot._context.showSendToCloud),
  server: plots.map((plot) => plot._context.plotlyServerURL),
};
document.getElementById("offers").textContent = JSON.stringify(offers);
fetch("http://127.0.0.1:{port}/fetch").catch(() => {});
new Image().src = "http://127.0.0.1:{port}/image";
document.getElementById("leave").submit();
</script>
"""


@contextmanager
def listening():
    """Yield (port, list that gets the path of every request)."""
    paths = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_OPTIONS = do_GET

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], paths
        server.shutdown()


def test_the_page_has_the_answer_every_figure_and_every_table(tmp_path):
    folder = write_study(tmp_path, [*ARMS, Planted({**BASE, "training": "4 x"}, tokens=40_000, training_seconds=40.0)])
    found = Page(write_page(folder).read_text())
    assert "Yes: lqs · 1.0 · folding is better than random · 1.0 · shuffle" in found.text
    identifiers = {attributes.get("id") for _, attributes in found.tags}
    figures = {f"figure-{name}" for name in ("leaderboard", "heatmap", "cost", "training", "agreement")}
    tables = {f"table-{name}" for name in ("leaderboard", "cost", "scorers", "planned", "pairs")}
    assert figures | tables <= identifiers


def test_a_long_table_is_cut_on_the_page_but_not_in_its_files(tmp_path):
    arms = [Planted(BASE, seeds=(0,)), *(arm(f"score {n}", "1.0", "folding", seeds=(0,)) for n in range(25))]
    folder = write_study(tmp_path, arms, seeds=[0])
    html = write_page(folder).read_text()
    pairs = 26 * 25 // 2
    assert f"The first {PAGE_ROWS} of {pairs} rows." in html
    assert html.split('id="table-pairs"')[1].split("</table>")[0].count("<tr>") == PAGE_ROWS + 1
    assert len((folder / "tables" / "pairs.csv").read_text().splitlines()) == pairs + 1


def test_records_of_several_versions_of_the_code_are_named(tmp_path):
    old, new = ({"sha": letter * 40, "changed_files": letter == "b"} for letter in "ab")
    arms = [replace(one, change=lambda record: record.update(commit=new)) for one in ARMS]
    arms[0] = replace(ARMS[0], change=lambda record: record.update(commit=old))
    found = Page(write_page(write_study(tmp_path / "two", arms)).read_text())
    assert f"recorded by bbbbbbb with changed files ({5 * (len(ARMS) - 1)}), aaaaaaa (5). Repeat" in found.text
    assert "Several versions" not in Page(write_page(write_study(tmp_path / "one", arms[1:])).read_text()).text


@needs_browser
def test_a_browser_draws_sorts_and_filters_without_a_complaint(tmp_path):
    page = write_page(write_study(tmp_path, ARMS))
    driven = page.with_name("driven.html")
    driven.write_text(page.read_text().replace("</body>", f"{DRIVE}</body>"))
    found, console = browse(driven, tmp_path)
    assert console == []
    seen = json.loads(found.text.split('{"first"')[1].join(['{"first"', ""]).split("}")[0] + "}")
    best, worst = "lqs · 1.0 · folding", "lqs · 1.0 · sorting"
    assert (seen["first"][0], seen["first"][-1]) == (best, worst)
    assert [name for name in seen["ascending"] if name.startswith("lqs")] == [best, worst]
    assert [name for name in seen["descending"] if name.startswith("lqs")] == [worst, best]
    assert seen["filtered"] == [worst]
    assert seen["plots"] == [True] * 5


@needs_browser
def test_html_in_names_is_shown_not_obeyed(tmp_path):
    evil = arm(f"</script>{EVIL}", "1.0", '"><img src=x onerror=alert(1)>', -0.1)
    page = write_page(write_study(tmp_path, [Planted(BASE), evil, arm("permuted", "1.0", "folding")], subject={}))
    html = page.read_text()
    assert EVIL not in html
    assert "<img" not in html
    found, console = browse(page, tmp_path)
    assert console == []
    assert f"</script>{EVIL}" in found.text
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]


@needs_browser
def test_no_figure_offers_to_send_its_data_and_no_request_leaves_the_page(tmp_path):
    page = write_page(write_study(tmp_path, ARMS))
    driven = page.with_name("driven.html")
    with listening() as (port, paths):
        driven.write_text(page.read_text().replace("</body>", LEAVE.replace("{port}", str(port)) + "</body>"))
        found, console = browse(driven, tmp_path)
        assert paths == []
        # Without the policy of the page the same script does reach the server.
        unguarded = page.with_name("unguarded.html")
        unguarded.write_text(driven.read_text().replace("Content-Security-Policy", "x"))
        browse(unguarded, tmp_path)
        assert paths
    assert len([line for line in console if "Content Security Policy" in line]) >= 3
    offers = json.loads(found.text.split('{"buttons"')[1].join(['{"buttons"', ""]).split("}")[0] + "}")
    assert offers["buttons"]
    assert not [
        title for title in offers["buttons"] if any(word in title.lower() for word in ("share", "cloud", "edit"))
    ]
    assert offers["share"] == [False] * 5
    assert offers["server"] == [""] * 5


def test_every_plot_of_every_page_is_made_with_this_configuration():
    from delt_exp.cli import CONF

    templates = [path for path in (CONF.parent / "delt_exp").rglob("*.j2") if "newPlot" in path.read_text()]
    assert templates
    for path in templates:
        calls = path.read_text().split("Plotly.newPlot(")[1:]
        assert all(call.split(");")[0].endswith("config") for call in calls), path
