"""Every tool and every Python block of the documentation runs."""

import re
import shlex
import sys
from contextlib import nullcontext

import pytest

from tests.test_docs import SMALL_PROBE, blocks, commands, skip_what_is_still_to_be_written, unsaid, write_samples

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _samples(tmp_path):
    write_samples(tmp_path)


@pytest.mark.parametrize("command", commands("python -m delt_exp"), ids=str)
def test_documented_tools_work(command, tmp_path, monkeypatch, capsys):
    import runpy

    skip_what_is_still_to_be_written(command)
    if re.search(r"RUN|KEY|FOLDER", command):
        pytest.skip("a form with a placeholder; its parts are tested with the tool")
    words = shlex.split(command)
    monkeypatch.setattr(sys, "argv", [*words[2:], *small_texts(words[3:])])
    with pytest.raises(SystemExit) if "--help" in words else nullcontext():
        runpy.run_module(words[2], run_name="__main__")
    assert capsys.readouterr().out


def small_texts(words):
    """Return overrides that make a comparison of texts small, where its command does not say otherwise."""
    if "--help" in words or not any("alignment" in word for word in words):
        return []
    return unsaid(SMALL_PROBE | {f"corpora.{word}.max_bytes": "40_000" for word in words if "stdlib" in word}, words)


@pytest.mark.parametrize("page", sorted({page for page, _ in blocks("python")}), ids=lambda page: page.name)
def test_python_blocks_of_a_page_run_in_order(page, capsys):
    names = {}
    for owner, block in blocks("python"):
        if owner == page:
            module = type(sys)("documentation")
            names.setdefault("__name__", module.__name__)
            sys.modules.setdefault("documentation", module)
            exec(compile(block, page.name, "exec"), names)
    assert "loss" in capsys.readouterr().out
