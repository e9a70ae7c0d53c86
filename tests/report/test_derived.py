"""The files of a run folder are left as they are only where the run would write the same again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from delt_exp.report import derived
from delt_exp.report.derived import is_current, note_files, sources
from tests.runs import command, records, write_texts

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "plots").mkdir()
    for name in ("scores.parquet", "plots/loss.png", "record.json"):
        (tmp_path / name).write_text(name)
    note_files(tmp_path, "stages")
    return tmp_path


def test_untouched_files_are_current_whatever_the_record_says(folder):
    (folder / "record.json").write_text("another finding")
    assert is_current(folder, "stages")
    assert not is_current(folder, "other stages")


@pytest.mark.parametrize("name", ["scores.parquet", "plots/loss.png"])
def test_a_file_that_was_edited_or_is_gone_is_not_current(folder, name):
    status = (folder / name).stat()
    (folder / name).write_text("x" * status.st_size)
    os.utime(folder / name, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert not is_current(folder, "stages")
    (folder / name).unlink()
    assert not is_current(folder, "stages")


def test_a_folder_without_a_readable_note_is_not_current(folder):
    (folder / derived.NOTE).write_text("{")
    assert not is_current(folder, "stages")
    (folder / derived.NOTE).unlink()
    assert not is_current(folder, "stages")


def test_sources_differ_with_the_configuration_and_with_each_stage():
    assert len({sources("a", ["x", "y"]), sources("b", ["x", "y"]), sources("a", ["x", "z"])}) == 3
    assert sources("a", ["x"]) == sources("a", ["x"])


def test_sources_differ_with_the_code_and_not_with_what_python_compiles_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(derived, "__file__", str(tmp_path / "derived.py"))
    (tmp_path / "plots.py").write_text("first")
    before = sources("a", ["x"])
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "plots.pyc").write_text("compiled")
    assert sources("a", ["x"]) == before
    (tmp_path / "plots.py").write_text("second")
    assert sources("a", ["x"]) != before


def test_a_run_that_finds_everything_draws_nothing_and_repairs_what_is_gone(tmp_path, monkeypatch):
    write_texts(tmp_path)
    command(monkeypatch, "scorer=length")
    (run,) = Path("outputs/runs").iterdir()
    page, first = (run / "report.html").read_text(), {f: f.stat().st_ino for f in run.rglob("*.png")}
    command(monkeypatch, "scorer=length")
    assert {f: f.stat().st_ino for f in run.rglob("*.png")} == first
    assert (run / "report.html").read_text().count("<img") == page.count("<img") == len(first) > 0
    assert len(records()[0]["reused_by"]) == 1
    lost = next(iter(first))
    lost.unlink()
    command(monkeypatch, "scorer=length")
    assert lost.exists()
    assert len(records()[0]["reused_by"]) == 2


def test_a_run_that_finds_everything_imports_neither_torch_nor_matplotlib_nor_pandas(tmp_path, monkeypatch):
    write_texts(tmp_path)
    command(monkeypatch, "scorer=length")
    again = (
        f"import sys; sys.argv = {sys.argv!r}\nfrom delt_exp.cli.main import main; main()\nprint(sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", again], capture_output=True, text=True, check=True)
    assert len(records()[0]["reused_by"]) == 1
    heavy = ("torch", "transformers", "pytorch_lightning", "datasets", "matplotlib", "pandas", "scipy")
    assert not [name for name in heavy if f"'{name}'" in done.stdout]
