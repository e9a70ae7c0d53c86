import ast
import sysconfig
from itertools import combinations
from pathlib import Path

import pytest

from delt_exp.dataset import stdlib
from delt_exp.dataset.mixture import size_bytes
from delt_exp.dataset.stdlib import SPLITS, StdlibCode, StdlibPairs, StdlibProse, split_of
from delt_exp.dataset.stdlib_source import MAX_CHARS, MIN_CHARS, Module, public_files, topic_prose
from delt_exp.errors import ConfigError, DataError

CLASSES = (StdlibProse, StdlibCode, StdlibPairs)
LONG = "return " + " + ".join(["value"] * 40)

SOURCE = f'''"""A module for this test, with a documentation that is long enough to be a document by itself.

{"It has a second paragraph. " * 10}
"""

# a comment stays
import os


@decorated
def documented(value):
    """Give the value back.

    Plain.
        Indented more."""

    {LONG}


class Thing:
    """Nothing but a docstring."""


class _Hidden:
    def method(self):
        "Two words."; return 1

    def bare(self):
        return "not a docstring"
'''


def documents(cls, split="train", max_bytes=None):
    return list(cls(split=split, max_bytes=max_bytes).documents())


def test_code_keeps_comments_and_loses_docstrings():
    (code,) = Module("pkg/mod.py", SOURCE.encode()).code()
    assert code == (
        "# a comment stays\nimport os\n\n\n@decorated\ndef documented(value):\n    " + LONG + "\n\n\n"
        "class Thing:\n    pass\n\n\n"
        "class _Hidden:\n    def method(self):\n        return 1\n\n"
        '    def bare(self):\n        return "not a docstring"\n'
    )


def test_windows_line_ends_give_the_same_code():
    assert list(Module("m.py", SOURCE.replace("\n", "\r\n").encode()).code()) == list(
        Module("m.py", SOURCE.encode()).code()
    )


def test_a_pair_is_a_docstring_and_the_function_without_it():
    (pair,) = Module("mod.py", SOURCE.encode()).pairs()
    assert pair == (
        '"""Give the value back.\n\nPlain.\n    Indented more."""\n',
        "@decorated\ndef documented(value):\n    " + LONG + "\n",
    )


def test_prose_heads_each_public_entry_with_its_signature():
    (prose,) = Module("pkg/mod.py", SOURCE.encode()).prose()
    assert prose.startswith("pkg.mod\n\nA module for this test")
    assert prose.endswith(
        "documented(value)\nGive the value back.\n\nPlain.\n    Indented more.\n\nThing\nNothing but a docstring.\n"
    )
    assert "Hidden" not in prose


def test_a_long_class_is_cut_between_its_methods():
    methods = [f"    def m{i}(self):\n        return '{'x' * 700}'\n" for i in range(4)]
    code = list(Module("m.py", ("class Long:\n" + "\n".join(methods)).encode()).code())
    assert code == ["class Long:\n" + "\n".join(methods[:2]), "\n".join(methods[2:])]


def test_a_topic_is_cut_at_its_sections():
    body = "Words about it.\n\n" * 20
    topic = f"Top\n***\n\n{body}Below\n=====\n\n{body}".replace("***", "******")
    assert list(topic_prose(topic)) == [f"{head}\n\n{body}".rstrip("\n") + "\n" for head in ("Top", "Below")]


def test_an_empty_module_has_no_documents():
    module = Module("m.py", b"")
    assert [*module.prose(), *module.code(), *module.pairs()] == []


@pytest.mark.slow
@pytest.mark.parametrize("cls", CLASSES)
def test_no_text_is_in_two_splits_or_twice_in_one(cls):
    found = [{(d.prompt, d.text) for d in documents(cls, split)} for split in SPLITS]
    assert all(len(texts) == len(documents(cls, split)) > 50 for texts, split in zip(found, SPLITS, strict=True))
    assert not any(one & other for one, other in combinations(found, 2))


def test_a_file_is_in_the_same_split_in_all_corpora_and_train_has_about_four_fifths():
    names = {name for rows in stdlib._extract().values() for name, _, _ in rows}
    shares = {split: sum(split_of(name) == split for name in names) / len(names) for split in SPLITS}
    assert 0.72 < shares["train"] < 0.88
    pairs = {text for name, _, text in stdlib._extract()["stdlib_pairs"] if split_of(name) == "target"}
    assert {document.text for document in documents(StdlibPairs, "target")} <= pairs


@pytest.mark.parametrize("cls", CLASSES)
def test_documents_have_a_sensible_length_and_a_label(cls):
    for document in documents(cls):
        assert MIN_CHARS <= len(document.prompt) + len(document.text) <= MAX_CHARS
        assert document.source == cls.SOURCE
        assert bool(document.prompt) == (cls is StdlibPairs)


def test_every_function_of_the_pairs_parses_and_has_no_docstring():
    for document in documents(StdlibPairs, "validation"):
        (function,) = ast.parse(document.text).body
        assert ast.get_docstring(function) is None
        assert ast.get_docstring(ast.parse(document.prompt.replace("\\", "\\\\"))) is not None


def test_the_order_is_a_shuffle_that_mixes_files():
    names = {(prompt, text): name for name, prompt, text in stdlib._extract()["stdlib_code"]}
    first = [names[document.prompt, document.text] for document in documents(StdlibCode)[:100]]
    assert len(set(first)) > 60


@pytest.mark.parametrize("limit", [0, 1000, 100_000])
def test_max_bytes_keeps_a_prefix_that_fits(limit):
    whole, cut = documents(StdlibCode), documents(StdlibCode, max_bytes=limit)
    assert cut == whole[: len(cut)]
    assert sum(map(size_bytes, cut)) <= limit < sum(map(size_bytes, whole[: len(cut) + 1]))


def test_only_public_modules_are_read():
    names = [name for name, _ in public_files(Path(sysconfig.get_path("stdlib")))]
    assert {"textwrap.py", "json/__init__.py", "json/decoder.py"} <= set(names)
    parts = {part for name in names for part in name.split("/")}
    assert not parts & {"test", "tests", "site-packages", "encodings", "pydoc_data", "keyword.py"}
    assert {part for part in parts if part.startswith("_")} <= {"__init__.py"}


def test_the_fingerprint_follows_the_contents(tmp_path, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    (tmp_path / "pydoc_data").mkdir()
    (tmp_path / "pydoc_data" / "topics.py").write_text("topics = {}\n")
    prints = set()
    for content in ("a = 1\n", "a = 2\n", "a = 2\n"):
        (tmp_path / "mod.py").write_text(content)
        stdlib._digest.cache_clear()  # another process would read the files anew
        prints.add(StdlibCode(split="train", max_bytes=None).fingerprint())
    stdlib._digest.cache_clear()
    assert len(prints) == 2


def test_a_python_without_sources_is_an_error(tmp_path, monkeypatch):
    stdlib._digest.cache_clear()
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(DataError, match=r"no Python source files"):
        StdlibCode(split="train", max_bytes=None).fingerprint()


def test_wrong_settings_are_config_errors():
    with pytest.raises(ConfigError, match=r"split='test'.*train, validation, target"):
        StdlibCode(split="test", max_bytes=None)
    with pytest.raises(ConfigError, match=r"max_bytes=-1"):
        StdlibCode(split="train", max_bytes=-1)
