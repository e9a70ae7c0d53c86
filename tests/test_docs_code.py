"""Every tool and every Python block of the documentation runs."""

import re
import runpy
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.test_docs import (
    PAGES,
    ROOT,
    SMALL_PROBE,
    blocks,
    lines_of_commands,
    play,
    skip_what_is_still_to_be_written,
    unsaid,
    write_samples,
)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _samples(tmp_path):
    write_samples(tmp_path)


# A page whose commands and Python work on what those before them left: it is run from its first block to its last.
IN_ORDER = ROOT / "docs" / "howto" / "your_trainer.md"
OTHERS = [page for page in PAGES if page != IN_ORDER]
TOOLS = sorted(line for line in lines_of_commands(OTHERS) if line.startswith("python -m delt_exp"))


@pytest.mark.parametrize("command", TOOLS, ids=str)
def test_documented_tools_work(command, tmp_path, monkeypatch, capsys):
    skip_what_is_still_to_be_written(command)
    if re.search(r"RUN|KEY|FOLDER|-\*", command):
        pytest.skip("a form with a placeholder, or what runs before it on its page")
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


@pytest.mark.parametrize("page", sorted({page for page, _ in blocks("python", OTHERS)}), ids=lambda page: page.name)
def test_python_blocks_of_a_page_run_in_order(page, capsys):
    names = {}
    for owner, block in blocks("python"):
        if owner == page:
            module = type(sys)("documentation")
            names.setdefault("__name__", module.__name__)
            sys.modules.setdefault("documentation", module)
            exec(compile(block, page.name, "exec"), names)
    assert "loss" in capsys.readouterr().out


def test_a_corpus_is_exported_trained_elsewhere_and_verified_as_the_page_says(monkeypatch, capsys):
    text, names = IN_ORDER.read_text(), {"__name__": "documentation"}
    for language, block in re.findall(r"^```(bash|python)\n(.*?)^```", text, flags=re.M | re.S):
        if language == "python":
            exec(compile(block, IN_ORDER.name, "exec"), names)
            continue
        for line in block.splitlines():
            play(line, monkeypatch)
    said = capsys.readouterr().out
    assert said.count("verified: ") == 2
    assert all(Path("trained", name).exists() for name in ("model.safetensors", "tokenizer.json"))  # for lm-eval
    assert "disable_shuffling: true" in said
