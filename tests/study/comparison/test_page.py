"""The page of a comparison in a real browser: it opens without a complaint, its tables sort and filter."""

import http.server
import json
import re
import threading
from dataclasses import replace

import pytest

from delt_exp.study.page import PAGE_ROWS, write_page
from tests.report.test_page import BROWSER, EVIL, Page, browse
from tests.study.comparison.studies import BASE, Planted, arm, write_study
from tests.study.comparison.test_report import ARMS

pytestmark = pytest.mark.slow

needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on the PATH")
# Clicks and types as a reader would, then writes down what is seen.
DRIVE = """
<pre id="seen"></pre><script>
const board = document.getElementById("table-leaderboard");
const names = () => [...board.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[0].textContent);
const head = [...board.tHead.rows[0].cells].find((cell) => cell.textContent === "minus baseline");
const seen = { first: names() };
head.click();
seen.ascending = names();
head.click();
seen.descending = names();
const filter = document.querySelector("#section-pairs .filter");
filter.value = "LQS sorting";
filter.dispatchEvent(new Event("input"));
const pairs = [...document.querySelectorAll("#table-pairs tbody tr")];
seen.filtered = pairs.filter((row) => !row.hidden).map((row) => row.textContent.includes("lqs · 1.0 · sorting"));
seen.plots = [...document.querySelectorAll(".plot")].map((plot) => plot.querySelectorAll(".main-svg").length > 0);
document.getElementById("seen").textContent = JSON.stringify(seen);
</script>
"""


def test_the_page_has_the_answer_every_figure_and_every_table(tmp_path):
    folder = write_study(tmp_path, [*ARMS, Planted({**BASE, "training": "4 x"}, tokens=40_000, training_seconds=40.0)])
    found = Page(write_page(folder).read_text())
    assert "Yes: lqs · 1.0 · folding is better than random · 1.0 · shuffle" in found.text
    identifiers = {attributes.get("id") for _, attributes in found.tags}
    figures = {f"figure-{name}" for name in ("leaderboard", "heatmap", "cost", "training", "agreement")}
    tables = {f"table-{name}" for name in ("leaderboard", "cost", "scorers", "planned", "pairs")}
    assert figures | tables <= identifiers


def test_a_picture_takes_the_height_it_is_drawn_in_and_no_more(tmp_path):
    """A difference of two arms is one line; a fixed least height left a void under it."""
    html = write_page(write_study(tmp_path, [Planted(BASE), arm("lqs", "1.0", "folding", -0.1)])).read_text()
    specs = json.loads(html.split('id="figures">')[1].split("</script>")[0])
    places = {a["id"]: a["style"].split(";")[0] for _, a in Page(html).tags if a.get("class") == "plot"}
    buttons = {name: spec["layout"].get("meta", {}).get("buttons_pixels", 0) for name, spec in specs.items()}
    assert places == {
        f"figure-{name}": f"min-height: {spec['layout']['height'] - buttons[name]}px" for name, spec in specs.items()
    }
    assert specs["leaderboard"]["layout"]["height"] < 200


def test_runs_that_failed_of_one_cause_are_one_line_with_their_number(tmp_path):
    folder = write_study(tmp_path, ARMS)
    study = json.loads((folder / "study.json").read_text())
    for run, error in zip(study["runs"], ["no <room>", "no <room>", "no <room>", "no data"], strict=False):
        run["error"] = error
    (folder / "study.json").write_text(json.dumps(study))
    html = write_page(folder).read_text()
    assert re.findall(r'<li class="serious">(.*?)</li>', html) == [
        "3 runs failed: no &lt;room&gt;. The first was seed=0.", "1 run failed: no data. It was seed=3.",
    ]  # fmt: skip


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
    assert seen["filtered"] == [True] * 4  # its pairs with the other arms
    assert seen["plots"] == [True] * 5


def test_plotly_can_send_a_figure_nowhere(tmp_path):
    """Every figure is drawn with the one configuration that the page carries."""
    html = write_page(write_study(tmp_path, ARMS)).read_text()
    config = json.loads(html.split('id="plotly-config">')[1].split("</script>")[0])
    shut = ("showSendToCloud", "showEditInChartStudio", "showLink", "sendData", "displaylogo")
    assert {key: config[key] for key in shut} == dict.fromkeys(shut, False)
    assert config["plotlyServerURL"] == ""
    own = html.rsplit("<script>", 1)[1]
    assert len(re.findall(r"Plotly\.\w+\(", own)) == 1
    assert len(re.findall(r"Plotly\.react\([^;]*, \{ \.\.\.config, displayModeBar: [^{};]*\}\);", own)) == 1
    policy = next(a["content"] for tag, a in Page(html).tags if tag == "meta" and "http-equiv" in a)
    assert {"default-src 'none'", "connect-src 'none'", "form-action 'none'"} <= set(policy.split("; "))


# Presses every button of every figure, and tries what a script could try to send something away.
PRESS = """
<pre id="asked"></pre><script>
const buttons = [...document.querySelectorAll(".modebar-btn")].filter((b) => !b.dataset.title.startsWith("Download"));
buttons.forEach((button) => button.click());
fetch("http://127.0.0.1:PORT/fetched").catch(() => {});
new Image().src = "http://127.0.0.1:PORT/image";
const titles = buttons.map((button) => button.dataset.title);
document.getElementById("asked").textContent = JSON.stringify({ titles });
</script>
"""


@needs_browser
def test_no_button_and_no_script_of_a_page_makes_a_request(tmp_path):
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        do_POST = do_GET

        def log_message(self, *arguments):
            """Say nothing."""

    page = write_page(write_study(tmp_path, ARMS))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        pressed = page.with_name("pressed.html")
        script = PRESS.replace("PORT", str(server.server_port))
        pressed.write_text(page.read_text().replace("</body>", f"{script}</body>"))
        found, console = browse(pressed, tmp_path)
        server.shutdown()
    seen = json.loads("{" + found.text.split('{"titles"')[1].join(['"titles"', ""]).split("}")[0] + "}")
    assert len(seen["titles"]) > 10
    assert not [title for title in seen["titles"] if "cloud" in title.lower() or "share" in title.lower()]
    assert {"fetched", "image"} <= {word for line in console for word in re.findall(r"fetched|image", line)}  # refused
    assert asked == []


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
