"""The record names the commit of this program, and of no other project."""

import subprocess

import pytest

from delt_exp.report import record


def git(folder, *words):
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True)


@pytest.mark.parametrize(("place", "is_own"), [("", True), (".venv/site-packages", False)])
def test_the_commit_is_that_of_a_checkout_of_its_own(place, is_own, tmp_path, monkeypatch):
    """Installed below another project's checkout, git would name that project's commit."""
    root = tmp_path / place
    file = root / "delt_exp" / "report" / "record.py"
    file.parent.mkdir(parents=True)
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "--message", "theirs")
    monkeypatch.setattr(record, "__file__", str(file))
    assert (record.own_commit() is not None) == is_own
