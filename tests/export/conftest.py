"""One run that stopped after its order, shared by the tests of this folder."""

import os

import pytest

from tests.runs import command, write_texts


@pytest.fixture(scope="session")
def stopped(tmp_path_factory):
    """The folder of a run of 40 documents of two sources."""
    folder, before = tmp_path_factory.mktemp("stopped"), os.getcwd()
    os.chdir(folder)
    with pytest.MonkeyPatch.context() as patch:
        write_texts(folder)
        command(patch, "scorer=length", "orderer=folding", "selector=top_k", "selector.k=40", "stop_after=order")
    os.chdir(before)
    (run,) = (folder / "outputs/runs").iterdir()
    return run
