"""A method is three files: with them in a copy of the checkout, every test that looks at conf/ passes unedited."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_docs import ROOT, commands, written_files

pytestmark = pytest.mark.slow
SURPRISE = {
    "delt_exp/scorer/surprise.py": '''"""Perplexity itself instead of its logarithm."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from delt_exp.quantity import Meaning
from delt_exp.scorer.perplexity import PerplexityScorer


@dataclass(frozen=True)
class SurpriseScorer(PerplexityScorer):
    """exp of the mean token loss under `proxy`."""

    @property
    def meaning(self) -> Meaning:
        return Meaning("perplexity", "tokens", "lower", "Among how many equally likely tokens the proxy would choose.")

    def score(self, *arguments: Any) -> Any:
        return np.exp(super().score(*arguments))
''',
    "conf/scorer/surprise.yaml": """# perplexity under a proxy model, not its logarithm; lower is better
_target_: delt_exp.scorer.surprise.SurpriseScorer
proxy: ${proxy}
""",
    "tests/scorer/test_surprise.py": '''"""The exponential of the mean token loss."""

from delt_exp.scorer.surprise import SurpriseScorer


def test_the_unit_is_tokens():
    assert SurpriseScorer(proxy=None).meaning.unit == "tokens"
''',
}
VARIANT = {
    "conf/orderer/deep_folding.yaml": """# folding with more passes
defaults:
  - folding
  - _self_
num_layers: 9
"""
}
# How a test file reads the options of conf/, and how it reads the commands of pages.
LOOKS = r"\boptions\(CONF|group_names\(|\bmethods\(|CONF\.rglob"
COMMANDS = r"commands\("
# Of all tests, those of a new option, and those without parameters in files that read the options of conf/.
CHOOSE = r'''"""Keep the tests of new options, and those of conf/ as a whole."""

import re

NEW = {names}
NAMED = re.compile(rf"(?<![\w.])({'|'.join(NEW)})(?![\w.])")
LOOKS = re.compile(r"{looks}")


def pytest_collection_modifyitems(config, items):
    kept = [item for item in items if _is_new(item) or _is_about_all(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _is_new(item):
    parameters = item.callspec.id if hasattr(item, "callspec") else ""
    return item.path.stem.removeprefix("test_") in NEW or bool(NAMED.search(parameters))


def _is_about_all(item):
    return not hasattr(item, "callspec") and bool(LOOKS.search(item.path.read_text()))
'''


@pytest.fixture(scope="module")
def names():
    """The names of all new options: those that pages tell to write, a scorer with a proxy, a variant."""
    files = [path for path, _ in written_files()] + [Path(path) for path in (*SURPRISE, *VARIANT)]
    return {path.stem for path in files if path.parts[0] == "conf"}


def chosen(file, names):
    """Whether a test file looks at conf/ or at commands of pages, or belongs to a new method."""
    is_this = file.name == Path(__file__).name
    return not is_this and (file.stem[5:] in names or bool(re.search(f"{LOOKS}|{COMMANDS}", file.read_text())))


@pytest.fixture(scope="module")
def passed(tmp_path_factory, names):
    """The output of the tests in a copy of the checkout with the new files."""
    checkout = tmp_path_factory.mktemp("copy") / "checkout"
    for name in ("conf", "delt_exp", "docs", "examples", "hydra_plugins", "tests"):
        shutil.copytree(ROOT / name, checkout / name)  # with __pycache__: it is valid there, as times of files stay
    for name in ("README.md", "CONTRIBUTING.md", "LICENSE", "mkdocs.yml", "pyproject.toml", "run.py", "setup.py"):
        shutil.copyfile(ROOT / name, checkout / name)
    for path, content in [*written_files(), *SURPRISE.items(), *VARIANT.items()]:
        assert not (checkout / path).exists()
        (checkout / path).write_text(content)
    (checkout / "conftest.py").write_text(CHOOSE.replace("{names}", repr(names)).replace("{looks}", LOOKS))
    files = [str(file) for file in checkout.glob("tests/**/test_*.py") if chosen(file, names)]
    quietly = ["-p", "no:cacheprovider", "-p", "no:xdist", "-rA", "--show-capture=no", "--durations=12"]
    command = [sys.executable, "-m", "pytest", *files, *quietly]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:]
    return set(re.findall(r"^PASSED (.*)$", done.stdout, flags=re.M))


def test_every_test_that_looks_at_conf_passes_with_new_methods(passed):
    for group, option in (("scorer", "surprise"), ("scorer", "variety"), ("orderer", "peak")):
        assert any(f"tests/{group}/test_contract.py" in test and f"{option}]" in test for test in passed)
        assert f"tests/test_conf.py::test_every_option_composes_and_its_keys_are_parameters[{group}-{option}]" in passed
        page = "test_every_method_has_its_page_its_row_and_its_place_in_the_navigation"
        assert f"tests/test_site.py::{page}[{group}-{option}]" in passed
        assert any(test.startswith(f"tests/{group}/test_{option}.py::") for test in passed)


def test_a_variant_of_a_method_is_a_yaml_file_alone(passed):
    assert any("tests/orderer/test_contract.py" in test and "deep_folding]" in test for test in passed)
    assert any("tests/test_site.py" in test and "orderer-deep_folding]" in test for test in passed)


def test_the_commands_that_use_what_a_page_writes_work(passed, names):
    for command in commands("python"):
        if names & set(re.split(r"[=\s]", command)) and "pytest" not in command:
            assert any(f"[{command}]" in test for test in passed), command
