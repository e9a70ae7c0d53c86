"""Every command in the documentation is executed, and every Python block runs."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from delt_exp.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LOCAL_DATA = ROOT.parent / "shared" / "data"
# What makes a documented run small; everything the command itself says stays as it is written.
SMALL = {
    "train_dataset.max_bytes": "60_000",
    "proxy.train_tokens": "4_096",
    "training.epochs": "null",
    "training.max_tokens": "4_096",
}
NEEDS_MORE = re.compile(r"mistral|gpt2|c4|trainer=gpu|trainer=ddp|kenlm|FILE|general|PATH")


def blocks(language):
    for page in PAGES:
        for block in re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.M | re.S):
            yield page, block


def commands(prefix):
    lines = (line.strip() for _, block in blocks("bash") for line in block.replace("\\\n", " ").splitlines())
    return sorted({line.split("  #")[0].strip() for line in lines if line.startswith(prefix)})


@pytest.mark.parametrize("command", commands("python run.py"))
def test_documented_runs_work(command, tmp_path, monkeypatch):
    words = shlex.split(command)[2:]
    if any(word in command for word in ("news_agnews", "local_", "lima", "patents")) and not LOCAL_DATA.exists():
        pytest.skip("needs the local data folder")
    if "--help" in words or "--cfg" in words or NEEDS_MORE.search(command):
        from delt_exp.cli import CONF
        from delt_exp.cli_check import check_command

        check_command(CONF, [w for w in words if w != "--help"])
        return
    extra = [f"{k}={v}" for k, v in SMALL.items() if not any(w.startswith(f"{k}=") for w in words)]
    if any(w.startswith("train_dataset=") and not w.startswith("train_dataset=stdlib") for w in words):
        extra = ["train_dataset.max_documents=60" if e.startswith("train_dataset.max") else e for e in extra]
    monkeypatch.setattr(sys, "argv", ["run.py", *words, *extra, f"data_dir={LOCAL_DATA}"])
    main()
    assert list(tmp_path.glob("outputs/runs/*/report.html"))


@pytest.mark.parametrize("command", commands("python -m delt_exp"))
def test_documented_tools_work(command, tmp_path, monkeypatch, capsys):
    import runpy

    if re.search(r"RUN|KEY", command):
        pytest.skip("a form with a placeholder; its parts are tested with the tool")
    words = shlex.split(command)
    monkeypatch.setattr(sys, "argv", words[2:])
    with pytest.raises(SystemExit) if "--help" in words else _nothing():
        runpy.run_module(words[2], run_name="__main__")
    assert capsys.readouterr().out


def _nothing():
    from contextlib import nullcontext

    return nullcontext()


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


def test_links_inside_the_documentation_point_to_files():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
