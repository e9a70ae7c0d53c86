"""The page explains a run, hides nothing, and runs and loads nothing."""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from delt_exp.report.__main__ import main as write_again
from delt_exp.report.cautions import ledger
from delt_exp.report.facts import NUM_HEADLINE_RESULTS
from delt_exp.report.page import write_report
from delt_exp.report.style import STYLE
from tests.report.conftest import measure

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
EVIL = "<script>alert(1)</script>"
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))), None
)
HEADLINE = (
    "30 of 40 documents of books were kept by top_k on length scores and trained in folding order for 1,234 steps; "
    "the model's loss (nats/token) is 3.215 ± 0.021 on code."
)


@pytest.fixture(autouse=True)
def _coarse_pictures(monkeypatch):
    monkeypatch.setitem(STYLE, "figure.dpi", 30)  # faster; how they look is not tested here


class Page(HTMLParser):
    """Tags with their attributes, and the visible text, of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words.append(data)


def page(folder):
    return Page(write_report(folder).read_text(encoding="utf-8"))


def test_the_headline_says_what_was_done_and_what_came_out(run_folder):
    assert HEADLINE in page(run_folder()).text


def test_the_headline_gives_a_few_results_and_counts_the_others(run_folder):
    def change(record):
        loss = next(row for row in record["results"] if row["metric"] == "loss")
        names = ["first", "second", "third", "fourth", "fifth"]
        record["results"] = [{**loss, "dataset": name} for name in names]

    text = page(run_folder(change)).text
    shown, left = NUM_HEADLINE_RESULTS, 5 - NUM_HEADLINE_RESULTS
    assert f" on {['first', 'second', 'third', 'fourth'][shown - 1]} ({left} more below)." in text


def test_the_headline_names_no_scores_that_the_selector_did_not_read(run_folder):
    def change(record):
        record["selection"].update(by_scores=False)

    text = page(run_folder(change)).text
    assert "30 of 40 documents of books were kept by top_k and trained in folding order" in text
    assert "The selector decided without it which documents a language model learns from" in text


def test_a_run_that_keeps_everything_and_is_not_evaluated_says_so(run_folder):
    def change(record):
        record["selection"].update(kept_documents=40)
        record["results"] = []

    text = page(run_folder(change)).text
    assert "All 40 documents of books were scored by length and trained in folding order" in text
    assert "the model was not evaluated." in text
    assert "Results" not in text


def test_alignment_is_shown_before_and_after_selection(run_folder):
    assert "Alignment" not in page(run_folder()).text

    def measured(record):
        sides = {"before": (0.51234, 0.4, 0.6), "trained": (0.71234, None, None)}
        found = {side: dict(zip(("value", "low", "high"), numbers, strict=True)) for side, numbers in sides.items()}
        record["alignment"] = [
            {"metric": "ncd", "evaluation": "quiz", "unit": "none", "name": "NCD alignment", **found}
        ]

    text = page(run_folder(measured)).text
    assert "0.5123 0.4000 to 0.6000" in text
    assert "0.7123" in text


def test_numbers_are_rounded_to_what_is_known(run_folder):
    text = page(run_folder()).text
    for expected in (
        "3.215 ± 0.021",
        "24.89 ± 0.53",
        "0.2500",
        "5.397",
        "1.57 M",
        "75 % of 40, 25 % of the tokens",
        "3 min 05 s",
    ):
        assert expected in text
    for raw in ("3.2145678", "0.0213456", "5.39701406", "24.8912"):
        assert raw not in text


def test_the_pipeline_shows_choices_settings_and_counts(run_folder):
    text = page(run_folder()).text
    assert "selector top_k k 30 30 documents kept" in text
    assert "orderer folding num_layers 3 ascending true order verified" in text
    assert "scorer length size [lines], lower is better by the target set poems of 9 documents" in text


def test_html_in_documents_sources_names_and_command_is_shown_not_obeyed(run_folder):
    def poison(record):
        best = record["examples"]["best"][0]
        best.update(text=EVIL, prompt=f"</pre>{EVIL}", source=f'"><img src=x onerror=alert(1)>{EVIL}')
        record["command"] = f"python run.py name={EVIL}"
        record["score"]["by_source"][EVIL] = record["score"]["by_source"]["poems"]
        record["name"] = record["score"]["explanation"] = record["results"][0]["dataset"] = EVIL
        record["config"]["name"] = EVIL

    poisoned, clean = page(run_folder(poison)), page(run_folder())
    assert "script" not in {tag for tag, _ in poisoned.tags}
    assert not [name for _, attributes in poisoned.tags for name in attributes if name.startswith("on")]
    assert poisoned.text.count(EVIL) >= 8
    count = {tag: sum(t == tag for t, _ in clean.tags) for tag in ("img", "section", "pre")}
    assert count == {**{tag: sum(t == tag for t, _ in poisoned.tags) for tag in count}, "pre": count["pre"]}


def test_the_page_asks_for_nothing_outside_itself(run_folder):
    found = page(run_folder())
    addresses = [a[key] for _, a in found.tags for key in ("src", "href", "action", "data", "poster") if key in a]
    assert addresses
    assert all(address.startswith("data:image/png;base64,") for address in addresses)
    html = (run_folder() / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import|<link|<iframe", html)
    assert "default-src 'none'" in next(a["content"] for tag, a in found.tags if "http-equiv" in a)


def test_every_picture_is_embedded_with_words_for_it(run_folder):
    folder = run_folder()
    images = [attributes for tag, attributes in page(folder).tags if tag == "img"]
    assert len(images) == len(list((folder / "plots").glob("*.png"))) == 5
    assert all(len(image["alt"]) > 20 for image in images)


def test_a_sound_run_has_no_cautions(run_folder):
    assert "Before you trust" not in page(run_folder()).text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda r: r["results"].append(measure("duel", "oracle_accuracy", 0.53, 0.02, "share of prompts", "higher")),
            "The oracle of duel agrees with people on 0.530 ± 0.020 of the preferences, no more often than chance: "
            "its win rates",
        ),
        (
            lambda r: r.update(order_verified=False) or r["training"].update(order_mismatch="step 3 differs"),
            "step 3 differs",
        ),
        (
            lambda r: r["data"]["overlap"]["code"].update(in_train=5),
            "5 of 57 documents of code are also among the candidates",
        ),
        (
            lambda r: r["data"]["overlap"]["code"].update(in_target=6),
            "6 of 57 documents of code are also in the target set",
        ),
        (lambda r: r["data"]["train"]["counts"].update(empty=2), "2 of 40 training documents had no text"),
        (
            lambda r: r["data"]["target"]["counts"].update(duplicates=3),
            "3 target documents are exact copies of others; they were kept",
        ),
        (lambda r: r["results"][2].update(truncated=4), "4 of 57 questions of quiz lost their beginning"),
        (
            lambda r: r["data"]["train"].update(left_out={"preferences with the same answer twice": 8}),
            "Left out of the training set: 8 preferences with the same answer twice.",
        ),
        (
            lambda r: r["data"].update(evaluation_left_out={"a": {}, "b": {"preferences that are too long": 9}}),
            "Left out of the evaluation set b: 9 preferences that are too long.",
        ),
    ],
    ids=[
        "judge",
        "order",
        "train overlap",
        "target overlap",
        "empty",
        "duplicates",
        "truncated",
        "training preferences",
        "evaluated preferences",
    ],
)
def test_what_could_mislead_a_reader_is_said_at_the_top(run_folder, change, message):
    text = page(run_folder(change)).text
    assert text.index("Before you trust the numbers") < text.index(message) < text.index("What was done")


def test_documents_beyond_the_token_budget_are_counted(run_folder):
    import pyarrow.parquet as pq

    folder = run_folder()
    order = pq.read_table(folder / "order.parquet")
    steps = order["step"].to_pylist()
    pq.write_table(order.set_column(4, "step", [[*steps[:23], *[-1] * 7]]), folder / "order.parquet")
    text = page(folder).text
    assert "7 of 30 kept documents were not trained on because the token budget" in text
    assert "selected, but beyond the token budget −7 documents trained 23" in text


def test_preferences_that_do_not_fit_are_told_from_those_beyond_the_budget(run_folder):
    import pyarrow.parquet as pq

    folder = run_folder(lambda r: r["training"].update(documents_left_out=3, loss_unit="nats/pair"))
    order = pq.read_table(folder / "order.parquet")
    steps = order["step"].to_pylist()
    pq.write_table(order.set_column(4, "step", [[*steps[:23], *[-1] * 7]]), folder / "order.parquet")
    text = page(folder).text
    assert "3 of 30 kept documents were not trained on: an answer does not fit the context of the model." in text
    assert "4 of 30 kept documents were not trained on because the token budget" in text
    assert "an answer does not fit the context −3 selected, but beyond the token budget −4 documents trained 23" in text
    assert "nats/pair, mean of the last tenth" in text


def test_documents_left_out_to_compare_rates_are_told_from_those_beyond_the_budget(run_folder):
    import pyarrow.parquet as pq

    tuned = {"name": "tuned", "lr": 0.01, "tried": [{"lr": 0.01, "loss": 5.0}], "documents": 4, "flops": 1e9}
    folder = run_folder(lambda r: r["training"].update(protocol=tuned))
    order = pq.read_table(folder / "order.parquet")
    steps = order["step"].to_pylist()
    pq.write_table(order.set_column(4, "step", [[*steps[:23], *[-1] * 7]]), folder / "order.parquet")
    text = page(folder).text
    assert "3 of 30 kept documents were not trained on because the token budget" in text
    assert "compare learning rates on −4 selected, but beyond the token budget −3 documents trained 23" in text


def test_the_ledger_of_documents_adds_up():
    counts = {"empty_files": 0, "read": 50, "empty": 3, "split": 4, "duplicates": 6, "duplicates_dropped": 6}
    lines = ledger({"documents": 52, "counts": counts})
    # 50 read - 3 empty = 47; 4 of them cut into 11 more pieces make 58; 6 copies dropped leave 52
    assert [number for _, number in lines] == [50, -3, 11, -6, 52]


def test_documents_show_score_source_fate_and_what_is_cut(run_folder):
    text = page(run_folder()).text
    assert "20.50 kept books Where? 12 tokens Where? In the middle." in text
    assert "39.50 dropped books" in text
    assert "4,321 more characters are not shown" in text


def test_costs_say_what_was_cached_and_what_computed(run_folder):
    text = page(run_folder()).text
    assert "score every document scores/01234567 cached 0.25 s 1 min 15 s 1.23 GB" in text
    assert "train a model model/01234567 computed" in text
    assert "peak on GPU" not in text


def test_the_reproduction_names_command_commit_seed_and_versions(run_folder):
    def change(record):
        record["commit"]["changed_files"] = True

    text = page(run_folder(change)).text
    for expected in (
        "python run.py scorer=length",
        "8a" * 20 + " with local changes",
        "seed 7",
        "python 3.11.7",
        "num_layers: 3",
    ):
        assert expected in text
    assert "wandb" not in text


def rewrite(folder):
    """Run the command on a folder."""
    command = [sys.executable, "-m", "delt_exp.report", folder]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)


def test_the_command_writes_a_damaged_page_again(run_folder):
    folder = run_folder()
    (folder / "report.html").write_text("gone")
    done = rewrite(folder)
    assert (done.returncode, done.stdout.strip()) == (0, str(folder / "report.html")), done.stderr
    assert HEADLINE in Page((folder / "report.html").read_text(encoding="utf-8")).text
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_the_command_names_the_missing_file_of_a_folder_that_is_no_run(tmp_path):
    done = rewrite(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path / 'record.json'} is missing")
    assert "Traceback" not in done.stderr


def test_a_damaged_record_is_named_with_its_place_and_a_cure(run_folder):
    folder = run_folder()
    record = folder / "record.json"
    record.write_text('{\n  "id": ', encoding="utf-8")
    done = rewrite(folder)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert done.stderr.startswith(f"error: {record} is damaged (")
    assert "line 2 column 9" in done.stderr
    assert done.stderr.endswith("remove it and repeat the command that wrote it\n")


def browse(path, tmp_path, *more):
    """Open a page in a real browser, with more flags; return its final DOM and the console lines."""
    quiet = [
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", *quiet]
    log = ["--enable-logging=stderr", "--v=0", "--dump-dom", f"file://{path}"]
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(
        [BROWSER, *flags, *more, *log], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    return Page(done.stdout), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on the PATH")
def test_a_real_browser_shows_the_page_without_a_complaint(run_folder, tmp_path):
    path = write_report(run_folder(lambda record: record["examples"]["best"][0].update(text=EVIL)))
    found, console = browse(path, tmp_path)
    assert HEADLINE in found.text
    assert EVIL in found.text
    assert console == []
    broken = path.with_name(
        "broken.html"
    )  # the same page with a script: the browser refuses it, and the log shows that
    broken.write_text(path.read_text(encoding="utf-8").replace("<main>", f"<main>{EVIL}"), encoding="utf-8")
    assert "Content Security Policy" in browse(broken, tmp_path)[1][0]


# Two phones side by side: the page, and the same page with an element that is too wide.
PHONES = """<!doctype html>
<iframe width="400" height="800"></iframe><iframe width="400" height="800"></iframe><pre></pre>
<script>
const seen = [];
document.querySelectorAll("iframe").forEach((phone, place) => {
  phone.onload = () => {
    const page = phone.contentDocument, right = (image) => image.getBoundingClientRect().right;
    seen[place] = Math.ceil(Math.max(page.documentElement.scrollWidth, ...[...page.images].map(right)));
    document.querySelector("pre").textContent = "widths " + seen.join(" ");
  };
  phone.srcdoc = place ? PAGE.replace("<main>", '<main><p style="width: 900px">wide') : PAGE;
});
</script>"""


@pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on the PATH")
def test_no_element_makes_the_page_scroll_sideways_on_a_phone_and_no_picture_is_cut(run_folder, tmp_path):
    def lengthen(record):
        record.update(name="name" * 40, command="command" * 40)
        record["examples"]["best"][0].update(text="word" * 100, source="source" * 20)

    html = json.dumps(write_report(run_folder(lengthen)).read_text(encoding="utf-8")).replace("</", "<\\/")
    (tmp_path / "phones.html").write_text(PHONES.replace("PAGE.", f"{html}.").replace(": PAGE", f": {html}"))
    found, _ = browse(tmp_path / "phones.html", tmp_path)
    fitting, too_wide = re.search(r"widths (\d+) (\d+)", found.text).groups()
    assert int(fitting) <= 400 < int(too_wide)


@pytest.mark.parametrize("name", ["gone", "file"])
def test_what_is_no_folder_of_a_run_is_said_to_lack_a_record(name, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["report", name])
    with pytest.raises(SystemExit):
        write_again()
    assert capsys.readouterr().err.startswith(
        f"error: {name}/record.json is missing: give the folder of a finished run"
    )


@pytest.mark.parametrize("key", ["stages", "command"])
def test_a_record_of_another_version_is_told_with_what_it_lacks(key, run_folder, monkeypatch, capsys):
    folder = run_folder(lambda record: record.pop(key))
    monkeypatch.setattr(sys, "argv", ["report", str(folder)])
    with pytest.raises(SystemExit):
        write_again()
    message = capsys.readouterr().err
    assert message.startswith(f"error: {folder}/record.json lacks something that the page shows")
    assert key in message
    assert "repeat the command" in message
