"""The site builds strictly, its links lead somewhere, it asks no other host for anything; every method has its page."""

import functools
import http.server
import json
import os
import re
import runpy
import subprocess
import sys
import threading
from typing import ClassVar

import pytest
from plotly.offline import get_plotlyjs

from delt_exp.config.build import CONF
from tests.contract import methods, settings_of, target
from tests.report.test_page import BROWSER, Page
from tests.test_docs import PAGES, ROOT

pytestmark = pytest.mark.slow
WRITTEN = sorted((ROOT / "docs" / "methods").rglob("*.md"))
SECTIONS = ["## When to use it", "## Deviations from the source"]
# Attributes whose address a browser fetches by itself; a link to click on is none of them.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "object": "data"}
FETCHED_RELATIONS = {"stylesheet", "icon", "preload", "modulepreload", "manifest"}

# Several pages in one window, which is faster than a browser for each; the console has the complaints of all.
FRAMES = """<!doctype html><meta charset="utf-8"><p id="seen"></p><script>
const frames = ["index", "concepts", "methods/scorer/lqs"].map((page) => {
  const frame = Object.assign(document.createElement("iframe"), { src: `${page}.html` });
  document.body.append(frame);
  return frame;
});
onload = () => {
  const asked = frames.flatMap((frame) => frame.contentWindow.performance.getEntriesByType("resource"));
  const seen = {
    titles: frames.map((frame) => frame.contentDocument.title),
    search: frames.map((frame) => frame.contentDocument.querySelector(".md-search").style.display),
    here: asked.filter((entry) => entry.name.startsWith(location.origin)).length,
    elsewhere: asked.map((entry) => entry.name).filter((name) => !/^(data:|blob:)/.test(name))
      .filter((name) => !name.startsWith(location.origin)),
  };
  document.getElementById("seen").textContent = JSON.stringify(seen);
};
</script>"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` builds it: a warning, such as a link or anchor without a place, ends the build."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path.read_text()) for path in sorted(site.rglob("*.html"))}


def test_every_markdown_page_is_in_the_site(site):
    written = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in PAGES if path.parent != ROOT}
    assert {site / path for path in written} <= set(site.rglob("*.html"))


def test_every_internal_link_and_anchor_leads_somewhere(pages):
    anchors = {path: {attributes.get("id") for _, attributes in page.tags} for path, page in pages.items()}
    for path, page in pages.items():
        for link in (attributes.get("href", "") for _, attributes in page.tags):
            address, _, anchor = (link or "").partition("#")
            if re.match(r"[a-z]+:", address) or path.name == "404.html":
                continue
            place = (path.parent / address).resolve() if address else path
            assert place.exists(), f"{path.name}: {link}"
            assert not anchor or place.suffix != ".html" or anchor in anchors[place] | {"__top"}, f"{path.name}: {link}"


def test_a_page_fetches_nothing_from_another_host(site, pages):
    for path, page in pages.items():
        fetched = [attributes.get(FETCHED[tag]) for tag, attributes in page.tags if tag in FETCHED]
        links = [attributes for tag, attributes in page.tags if tag == "link"]
        fetched += [link["href"] for link in links if FETCHED_RELATIONS & set(link["rel"].split())]
        assert [address for address in fetched if address and re.match(r"([a-z]+:)?//", address)] == [], path.name
    for path in site.rglob("*.css"):
        assert not re.search(r"""(@import|url\()\s*["']?(https?:)?//""", path.read_text()), path.name


@pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on the PATH")
def test_a_real_browser_shows_pages_without_a_complaint(site, tmp_path):
    (site / "frames").write_text(FRAMES)
    handler = functools.partial(_Silent, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found, console = browse(f"http://127.0.0.1:{server.server_port}/frames", tmp_path)
        server.shutdown()
    seen = json.loads(found.text.split("const frames")[0])
    assert seen["titles"] == ["What it is - delt-exp", "Concepts - delt-exp", "lqs - delt-exp"]
    assert seen["search"] == ["", "", ""]
    assert seen["here"] > len(seen["titles"])
    assert seen["elsewhere"] == []
    assert console == []


@pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on the PATH")
def test_a_page_opened_as_a_file_shows_no_search_that_cannot_work(site, tmp_path):
    found, _ = browse((site / "index.html").as_uri(), tmp_path)
    parts = [attributes for tag, attributes in found.tags if attributes.get("data-md-component") == "search"]
    parts += [attributes for tag, attributes in found.tags if tag == "label" and attributes.get("for") == "__search"]
    assert len(parts) >= 3
    outside = [part for part in parts if "md-search__" not in part.get("class", "")]  # the others are in the box
    assert {part.get("style") for part in outside} == {"display: none;"}


class _Silent(http.server.SimpleHTTPRequestHandler):
    extensions_map: ClassVar = {**http.server.SimpleHTTPRequestHandler.extensions_map, "": "text/html"}

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def browse(url, tmp_path):
    """Open a page where no host but this machine can be reached; return its final DOM and the console lines."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    alone = ["--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", f"--user-data-dir={tmp_path / 'profile'}"]
    log = ["--enable-logging=stderr", "--v=0", "--dump-dom", url]
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(
        [BROWSER, *flags, *alone, *log], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    return Page(done.stdout), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_the_page_of_a_study_is_kept_without_plotly_and_whole_in_the_site(tmp_path):
    names = runpy.run_path(str(ROOT / "docs" / "study_pages.py"))
    study, script = tmp_path / "outputs" / "mine", f"<script>{get_plotlyjs()}</script>"
    (study / "tables").mkdir(parents=True)
    (study / "tables" / "pairs.csv").write_text("first,second")
    (study / "report.html").write_text(f'<a href="../runs/a-b/report.html">a · b</a>{script}')
    names["keep"].__globals__["pictures_of"] = lambda page: {}
    kept = names["keep"](study, results=tmp_path / "site" / "results")
    assert (kept / "pairs.csv").read_text() == "first,second"
    assert (kept / "report.html").stat().st_size < 100
    names["on_post_build"]({"site_dir": tmp_path / "site"})
    assert (kept / "report.html").read_text() == f"a · b{script}"
    (study / "report.html").write_text("<script>of another version</script>")
    with pytest.raises(SystemExit, match=r"write it again by python -m delt_exp\.study"):
        names["keep"](study, tmp_path / "site" / "results")


KEPT = sorted((ROOT / "docs" / "results").glob("*/report.html"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.parent.name)
def test_every_chart_of_a_kept_page_is_a_picture_for_screens_and_phones(path):
    tags = [(tag, attributes) for tag, attributes in Page(path.read_text()).tags]
    charts = [attributes for tag, attributes in tags if tag == "div" and attributes.get("class") == "plot"]
    pictures = [tag for tag, attributes in tags if tag in ("img", "source") and "data:image/svg" in str(attributes)]
    assert pictures.count("img") == pictures.count("source") == len(charts) > 0


@pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on the PATH")
def test_a_kept_page_works_without_plotly_and_with_it_makes_the_same_pictures(tmp_path):
    (page,) = (path for path in KEPT if path.parent.name == "detection_cheap")
    _, console = browse(page.as_uri(), tmp_path)
    assert console == []
    names = runpy.run_path(str(ROOT / "docs" / "study_pages.py"))
    bare = re.sub("<picture>.*?</picture>", "", page.read_text()).replace(names["PLACE"], get_plotlyjs())
    made = names["pictures_of"](bare)
    assert len(made) == page.read_text().count('class="plot"') * len(names["WIDTHS"])
    for svg in made.values():
        assert svg.startswith("<svg")
        assert ">ngram_match<" in svg


@pytest.mark.parametrize(("group", "option"), methods())
def test_every_method_has_its_page_its_row_and_its_place_in_the_navigation(site, pages, group, option):
    address = f"methods/{group}/{option}.html"
    page = pages[site / address]
    assert f"{group}={option}" in page.text or f".{group}={option}" in page.text
    assert target(group, option).rpartition(".")[0].replace(".", "/") in page.text
    for key in set(settings_of(group, option, continued=False)) - {"defaults"}:
        assert key in page.text
    for place, times in (("methods.html", 2), ("index.html", 1)):  # the navigation is on every page, the row on one
        links = [attributes.get("href") for tag, attributes in pages[site / place].tags if tag == "a"]
        assert links.count(address) >= times, place


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_page_written_by_hand_adds_facts_a_command_and_what_no_docstring_says(path):
    text = path.read_text()
    for fact in ("source", "cost"):
        assert re.search(rf'^{fact}: ".+"$', text.split("---")[1], flags=re.M), fact
    assert "## Definition" in text
    assert re.findall("^## .*", text, flags=re.M)[-2:] == SECTIONS
    assert re.search(rf"^python .*\b{path.parent.name}[.=].*{path.stem}", text, flags=re.M)
    assert (CONF / path.parent.name / f"{path.stem}.yaml").exists()


def test_links_between_the_markdown_files_point_to_files():
    for page in PAGES:
        for address in re.findall(r"\]\(([^)#]+)", page.read_text()):
            file = (page.parent / address).resolve()
            if not address.startswith("http") and (file.parent.name, file.stem) not in methods():
                assert file.exists(), f"{page.name}: {address}"


def test_what_a_scorer_detects_comes_from_the_tables_of_a_study(tmp_path):
    names = runpy.run_path(str(ROOT / "docs" / "detection_tables.py"))
    names["on_page_markdown"].__globals__["RESULTS"] = tmp_path
    header = "scorer,spoiled by,AUC,AUC low,AUC high,corpus,seeds"
    rows = [
        "a,all,0.9,0.8,1,news,3",
        "a,garbled,0.75,0.5,0.875,news,3",
        "b,all,0.5,,,news,1",
        "b,garbled,0.25,,,news,1",
    ]
    (tmp_path / "detection_cheap").mkdir()
    (tmp_path / "detection_cheap" / "detection.csv").write_text("\n".join([header, *rows]))
    made = names["on_page_markdown"]("Before.\n\n<!-- detected: detection_cheap: a, b -->\n\nAfter.")
    table = "| spoiled by | a, news | b, news |\n| --- | --- | --- |\n"
    assert f"{table}| garbled | 0.75 [0.50, 0.88] | 0.25 |\n| all | 0.90 [0.80, 1.00] | 0.50 |\n\nAfter." in made
    assert "over 1 to 3 seeds" in made
    assert names["on_page_markdown"]("<!-- detected: detection_cheap: a -->").endswith("| all | 0.90 [0.80, 1.00] |")
    with pytest.raises(ValueError, match=r"no results of \['c'\]; it has those of \['a', 'b'\]"):
        names["detected"]("detection_cheap", ["c"])
