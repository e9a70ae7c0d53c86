"""Inputs from public bug reports: each runs to its end or stops with one message. Skipped where they are missing."""

import importlib
import sys
from pathlib import Path

import pytest

from delt_exp.cli.main import main
from tests.field_cases.case import QUICK, Case
from tests.runs import records

INPUTS = Path(__file__).parents[2] / "shared" / "field_cases"
FILES = sorted(file.stem for file in (Path(__file__).parent / "field_cases").glob("*.py") if file.stem != "case")
CASES: list[Case] = [case for stem in FILES for case in importlib.import_module(f"tests.field_cases.{stem}").CASES]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not INPUTS.is_dir(), reason="needs ../shared/field_cases"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_field_case(case, monkeypatch, capsys):
    words = [text.replace("F/", f"{INPUTS}/") for text in _together(case.overrides)]
    monkeypatch.setattr(sys, "argv", ["run.py", *words])
    if case.fails:
        with pytest.raises(SystemExit) as leave:
            main()
        assert leave.value.code == 1
    else:
        main()
    said = capsys.readouterr()
    assert said.err.count("error:") == case.fails, said.err
    assert "Traceback" not in said.err
    for word in case.says:
        assert word in said.err + said.out, said.err
    if not case.fails:
        case.holds(records()[-1])


def _together(overrides):
    """An override of a group or key replaces what QUICK says about it."""
    chosen = {text.split("=")[0] for text in overrides}
    kept = [text for text in QUICK if not any(text.split("=")[0] == c or text.startswith(f"{c}.") for c in chosen)]
    return [*kept, *overrides]
