"""Settings for every test: nothing is written outside tmp_path, nothing is fetched, nothing depends on the clock."""

import os
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


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    """Run every test in its own folder, so that a stray relative path cannot touch the checkout."""
    monkeypatch.chdir(tmp_path)


def pytest_collection_modifyitems(items):
    """The files at the top start programs and take longest: first, so that tests run side by side end together."""
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)
