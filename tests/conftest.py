"""Settings for every test: nothing is fetched, nothing depends on the clock.

Nothing is written outside tmp_path but the packaged model, which is converted once for a machine.
"""

import gc
import os
import signal
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings

# Each takes more than half a minute on one worker, the longest first.
LONGEST = ("test_docs.py", "study/test_contract.py", "cli/test_main.py", "test_three_files.py", "cli/test_sweep.py",
           "config/test_compose.py", "study/test_launchers.py", "distributed/test_nodes.py")  # fmt: skip
QUICK_SECONDS = 1.0  # a test that takes longer is marked slow; with what it shares with those after it

settings.register_profile("delt", database=None, deadline=None)
settings.load_profile("delt")

# Read when the Hugging Face libraries are imported, also by the processes that tests start.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, and threads that wait for each other spin
os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])

# A shell ignores Ctrl-C in what it starts in the background, and so would every program that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# rouge_score logs by absl, which closes the stream that it was imported under, pytest's, when Hydra starts another log.
with suppress(ImportError):
    from absl import logging

    logging.get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    """Run every test in its own folder, so that a stray relative path cannot touch the checkout."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module", autouse=True)
def _blank_pictures(request):
    """Spare runs half of their time, where pictures are not what is tested: they are set up, but left blank."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.parent.name != "report":
            from delt_exp.report import style

            patch.setitem(style.STYLE, "figure.dpi", 30)
            patch.setattr(style.FigureCanvasAgg, "draw", lambda canvas: canvas.get_renderer())
        yield


@pytest.fixture(scope="module", autouse=True)
def _what_is_loaded_stays():
    """Spare the garbage collector a million objects of imported packages, which it would look at again and again."""
    gc.freeze()


def pytest_collection_modifyitems(items):
    """Let the longest files come first, then those with slow tests, so that workers end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    place = {Path(__file__).parent / file: number for number, file in enumerate(LONGEST)}
    items.sort(key=lambda item: (place.get(item.path, len(place)), item.path not in slow))


def pytest_terminal_summary(terminalreporter):
    """Name the tests that take long and are not marked slow, so that `make test-quick` stays quick; nothing fails."""
    seconds = Counter()
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        if isinstance(report, pytest.TestReport) and "slow" not in report.keywords:
            seconds[report.nodeid] += report.duration
    long = [(taken, test) for test, taken in seconds.most_common(20) if taken > QUICK_SECONDS]
    if long:
        terminalreporter.section(f"over {QUICK_SECONDS:g} s and not marked slow")
        for taken, test in long:
            terminalreporter.write_line(f"{taken:5.1f} s {test}")
