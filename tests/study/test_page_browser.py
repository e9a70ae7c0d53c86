"""The page of a study as a reader meets it: on a phone and on a desk, in the dark, by keyboard, and on paper."""

import json
import re

import pytest

from delt_exp.study.page import ROWS_AT_ONCE, write_page
from tests.report.test_page import BROWSER, browse
from tests.study.comparison.studies import BASE, Planted, arm, write_study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on the PATH"),
]
# Looks at the page from inside, and tells the page around it.
LOOK = """<script>
const wait = (test) => new Promise((done) => { const ask = () => (test() ? done() : setTimeout(ask, 10)); ask(); });
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const rgb = (hex) => "rgb(" + [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)).join(", ") + ")";
const all = (selector) => [...document.querySelectorAll(selector)];
const grids = () => [...new Set(all(".gridlayer path").map((one) => getComputedStyle(one).stroke))];
const look = async () => {
  const runs = document.querySelector("#section-runs details"), fold = { before: runs.open };
  location.hash = "#section-runs";
  await wait(() => runs.open);
  const rows = all("#table-runs tbody tr").filter((row) => row.offsetParent).length;
  all("details").forEach((one) => (one.open = true));
  const scrolls = all(".scroll").filter((one) => one.scrollWidth > one.clientWidth + 1);
  const frozen = getComputedStyle(document.querySelector("#table-leaderboard tbody th")).position;
  const skip = document.querySelector("a, button, input");
  skip.click();
  await wait(() => document.activeElement !== document.body);
  const seen = { reached: document.activeElement.id, fold, rows, frozen, scrolls: scrolls.map((one) => one.ariaLabel) };
  seen.wide = document.documentElement.scrollWidth - innerWidth;
  seen.cut = all(".plot svg text").filter((one) => one.getBoundingClientRect().right > innerWidth).length;
  seen.dark = matchMedia("(prefers-color-scheme: dark)").matches;
  seen.screen = [grids(), [rgb(css("grid"))], css("page")];
  dispatchEvent(new Event("beforeprint"));
  seen.paper = [grids(), [rgb(css("grid"))], css("page")];
  dispatchEvent(new Event("afterprint"));
  seen.after = grids();
  const printed = [...document.styleSheets[0].cssRules].filter((rule) => rule.media?.mediaText === "print");
  const rules = printed.flatMap((rule) => [...rule.cssRules]);
  seen.hidden = rules.filter((rule) => rule.style?.display === "none").map((rule) => rule.selectorText);
  parent.postMessage(seen, "*");
};
addEventListener("load", look);
</script></body>"""
AROUND = """<!doctype html><pre></pre>
<iframe id="phone" src="inside.html" width="400" height="800"></iframe>
<iframe id="desk" src="inside.html" width="1400" height="800"></iframe>
<script>
const seen = {};
addEventListener("message", ({ data, source }) => {
  for (const one of document.querySelectorAll("iframe")) if (one.contentWindow === source) seen[one.id] = data;
  document.querySelector("pre").textContent = "seen" + JSON.stringify(seen) + "end";
});
</script>"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Return what a browser in dark mode sees in a frame as wide as a phone, and in one as wide as a desk."""
    folder = tmp_path_factory.mktemp("page")
    effects = {"lqs": -0.1, "perplexity": 0.1, "a_scorer_with_quite_a_long_name": 0.0, "permuted": 0.0}
    arms = [arm(name, "1.0", order, effect) for name, effect in effects.items() for order in ("shuffle", "folding")]
    study = write_study(folder, [Planted(BASE), *arms])
    html = write_page(study).read_text(encoding="utf-8")
    (study / "inside.html").write_text(html.replace("</body>", LOOK), encoding="utf-8")
    (study / "around.html").write_text(AROUND, encoding="utf-8")
    dark = ("--blink-settings=preferredColorScheme=0", "--virtual-time-budget=20000", "--window-size=1500,900")
    found, console = browse(study / "around.html", folder, *dark)
    assert console == []
    return json.loads(re.search(r"seen(\{.*\})end", found.text).group(1))


@pytest.mark.parametrize("width", ["phone", "desk"])
def test_the_page_never_scrolls_sideways_and_no_text_of_a_chart_is_cut(seen, width):
    assert seen[width]["wide"] <= 0
    assert seen[width]["cut"] == 0


def test_no_table_is_cut_on_a_desk(seen):
    assert seen["desk"]["scrolls"] == []


@pytest.mark.parametrize("width", ["phone", "desk"])
def test_runs_are_folded_until_a_link_asks_for_them_and_come_in_pages(seen, width):
    assert seen[width]["fold"] == {"before": False}
    assert seen[width]["rows"] == ROWS_AT_ONCE < 9 * 5


@pytest.mark.parametrize("width", ["phone", "desk"])
def test_names_stay_in_sight_and_the_first_stop_of_the_keyboard_leads_to_the_answer(seen, width):
    assert seen[width]["frozen"] == "sticky"
    assert seen[width]["reached"] == "main"


@pytest.mark.parametrize("width", ["phone", "desk"])
def test_charts_have_the_grid_of_the_page_in_the_dark_and_a_light_one_on_paper(seen, width):
    assert seen[width]["dark"]
    (grid, own, page), (printed, light, paper) = seen[width]["screen"], seen[width]["paper"]
    assert grid == own == seen[width]["after"]
    assert printed == light != own
    assert (page, paper) == ("#14191f", "#ffffff")


def test_paper_has_no_toolbars(seen):
    hidden = ", ".join(seen["desk"]["hidden"])
    assert {".modebar-container", ".filter", ".pager", ".buttons", ".contents", ".skip"} <= set(hidden.split(", "))
