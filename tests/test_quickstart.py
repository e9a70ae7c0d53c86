"""The first page that a newcomer follows makes the comparison that it promises."""

import glob
import re
import runpy
import shlex
import sys

import pytest

from tests.test_docs import ROOT, small


@pytest.mark.slow
def test_the_quickstart_compares_two_orders_document_by_document(tmp_path, monkeypatch, capsys):
    text = (ROOT / "docs" / "quickstart.md").read_text()
    (block,) = re.findall(r"^```bash\n([^`]*delt_exp\.compare[^`]*)^```", text, flags=re.M)
    for line in block.splitlines():
        words = shlex.split(line)[1:]
        words = ["-m", "run", *words[1:], *small(words[1:])] if words[0] == "run.py" else words
        found = [name for word in words[2:] for name in (sorted(glob.glob(word)) or [word])]
        monkeypatch.setattr(sys, "argv", [words[1], *found])
        runpy.run_module(words[1], run_name="__main__")
    said = capsys.readouterr().out
    assert re.search(r"folded (is|and shuffled are)", said)
    assert "Each was trained once" in said
