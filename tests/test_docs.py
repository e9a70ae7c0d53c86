"""Every command in the documentation is executed, and every Python block runs."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from delt_exp.cli import CONF, at_scale, main
from delt_exp.cli_check import check_command
from delt_exp.run_name import register_resolvers

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LOCAL_DATA = ROOT.parent / "shared" / "data"
# What makes a documented run small; everything the command itself says stays as it is written.
SMALL = {
    "proxy.train_tokens": "2_048",
    "training.epochs": "null",
    "training.max_tokens": "4_096",
    "model.network.config.hidden_size": "16",
    "model.network.config.intermediate_size": "32",
    "proxy.recipe.network.config.hidden_size": "16",
    "proxy.recipe.network.config.intermediate_size": "32",
}
SMALL_ANNOTATION = {
    "scorer.num_steps": "2",
    "scorer.num_proxies": "24",
    "scorer.num_target": "4",
    "scorer.data_scorer.epochs": "1",
}
NEEDS_MORE = re.compile(r"study=|mistral|gpt2|c4|trainer=gpu|trainer=ddp|kenlm|FILE|general|PATH")


def blocks(language):
    for page in PAGES:
        for block in re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.M | re.S):
            yield page, block


def commands(prefix):
    lines = (line.strip() for _, block in blocks("bash") for line in block.replace("\\\n", " ").splitlines())
    return sorted({line.split(" #")[0].strip() for line in lines if line.startswith(prefix)})


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store for all commands, so that what they share is computed once."""
    return tmp_path_factory.mktemp("store")


@pytest.mark.parametrize("command", commands("python run.py"))
def test_documented_runs_work(command, tmp_path, monkeypatch, store):
    words = shlex.split(command)[2:]
    if "--help" in words or "--cfg" in words or NEEDS_MORE.search(command):
        check_command(CONF, at_scale([w for w in words if w != "--help"]))
        return
    overrides = small(words)
    monkeypatch.setattr(sys, "argv", ["run.py", *words, *overrides, f"data_dir={LOCAL_DATA}", f"store.root={store}"])
    main()
    if "dry_run=true" not in words:
        assert list(tmp_path.glob("outputs/runs/*/report.html"))


def small(words):
    """Return overrides that make a run small, where its command does not say otherwise."""
    first = [re.sub(r"(orderer|seed)=(\w+),.*", r"\1=\2", word) for word in words if word != "-m"]
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", first)
    if "${data_dir}" in OmegaConf.to_yaml(config) and not LOCAL_DATA.exists():
        pytest.skip("needs the local data folder")
    datasets = {"train_dataset": config.train_dataset, "target_dataset": config.target_dataset}
    datasets |= {f"eval_dataset.{name}.dataset": node.dataset for name, node in config.eval_dataset.items()}
    limits = {}
    for place, node in datasets.items():
        limits |= {f"{place}.max_bytes": "40_000"} if "max_bytes" in node else {f"{place}.max_documents": "60"}
    limits |= SMALL_ANNOTATION if config.scorer.get("data_scorer") else {}
    said = {word.split("=")[0] for word in words}
    return [f"{key}={value}" for key, value in (SMALL | limits).items() if key not in said]


@pytest.mark.parametrize("command", commands("python -m delt_exp"))
def test_documented_tools_work(command, tmp_path, monkeypatch, capsys):
    import runpy

    if re.search(r"RUN|KEY|FOLDER", command):
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


def test_the_study_that_the_page_writes_composes(tmp_path):
    from delt_exp.config import build

    ((_, block),) = ((page, block) for page, block in blocks("yaml") if "# @package _global_" in block)
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "mine.yaml").write_text(block)
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", ["study=mine", f"hydra.searchpath=[file://{tmp_path}]"])
    assert len(build(config.study, "study").jobs()) == 2 * 2 * 5
