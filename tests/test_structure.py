"""The shape of the source tree, which is what a reader sees first."""

from pathlib import Path

import pytest

from benchmarks.structure import Structure, circles

PACKAGE = Path(__file__).parents[1] / "delt_exp"


@pytest.fixture(scope="module")
def structure():
    return Structure(PACKAGE)


def test_circles_are_found_where_they_are():
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": set()}
    assert circles(edges) == [["a", "b", "c"]]
    assert circles({"a": {"b"}, "b": set()}) == []


def test_no_modules_import_each_other_not_even_inside_functions_or_for_types(structure):
    assert structure.circles() == []


def test_at_most_ten_files_lie_loose(structure):
    assert 1 < len(structure.loose_files) <= 10


def test_no_packages_import_each_other(structure):
    assert structure.package_circles() == []


def test_an_import_is_hidden_in_a_function_only_where_that_saves_time(structure):
    needless = structure.hidden_imports(excused=False)
    assert [f"{found.importer}:{found.line} imports {found.imported}" for found in needless] == []


def test_an_import_saves_time_where_it_loads_what_its_module_has_not(tmp_path):
    files = {
        "heavy": "import torch\n",
        "light": "def f():\n    from delt_exp.heavy import x\n",
        "loaded": "import torch\ndef f():\n    from delt_exp.heavy import x\n",
        "reaching": "import delt_exp.loaded\ndef f():\n    from delt_exp.heavy import x\n",
    }
    (tmp_path / "delt_exp").mkdir()
    for name, text in files.items():
        (tmp_path / "delt_exp" / f"{name}.py").write_text(text)
    needless = Structure(tmp_path / "delt_exp").hidden_imports(excused=False)
    assert sorted(found.importer for found in needless) == ["delt_exp.loaded", "delt_exp.reaching"]
