"""The first page that a newcomer follows makes the comparison that it promises."""

import re

import pytest

from tests.test_docs import ROOT, play


@pytest.mark.slow
def test_the_quickstart_compares_two_orders_document_by_document(tmp_path, monkeypatch, capsys):
    text = (ROOT / "docs" / "quickstart.md").read_text()
    (block,) = re.findall(r"^```bash\n([^`]*delt_exp\.compare[^`]*)^```", text, flags=re.M)
    for line in block.splitlines():
        play(line, monkeypatch)
    said = capsys.readouterr().out
    assert re.search(r"folded (is|and shuffled are)", said)
    assert "Each was trained once" in said
