"""Settings for every test: nothing is fetched, nothing depends on the clock.

Nothing is written outside tmp_path but the packaged model, which is converted once for a machine.
"""

import gc
import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("delt", database=None, deadline=None)
settings.load_profile("delt")

# Read when the Hugging Face libraries are imported, also by the processes that tests start.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, and threads that wait for each other spin
os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])

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
    """Mark what starts several processes as slow; files with slow tests come first, so that workers end together."""
    for item in items:
        if item.path.parent.name == "distributed":
            item.add_marker("slow")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
