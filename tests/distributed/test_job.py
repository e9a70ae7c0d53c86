"""A job written to a file calls the same function with the same arguments, and can name nothing but this package."""

import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from delt_exp.distributed import job as job_module
from delt_exp.distributed.job import run_job, write_job
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import read_json, tree_digest
from delt_exp.model.recipe import Recipe
from delt_exp.runtime import Runtime
from tests.helpers import tiny_recipe


@pytest.fixture(autouse=True)
def functions_of_tests_may_be_named(monkeypatch):
    monkeypatch.setattr(job_module, "PACKAGES", ("delt_exp.", __name__))


def same(*arguments):
    return arguments


@dataclass(frozen=True, eq=False)
class Work:
    rows: np.ndarray
    runtime: Runtime


@dataclass
class Changing:
    count: int


class Colour(Enum):
    RED = 1


def returned(tmp_path, *arguments):
    return run_job(write_job(tmp_path / "job", same, *arguments))


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -(2**70), 0.1, 1e-310, float("inf"), "tür\n", "", Path("/some/where"), (), (1, [2, (3,)]), [],
        {}, {"a": 1, 2: (3, None)}, {"class": "text"}, {"path": "text"}, tiny_recipe(), Runtime("cpu", None),
    ],
    ids=repr,
)  # fmt: skip
def test_a_value_comes_back_as_it_was(tmp_path, value):
    (found,) = returned(tmp_path, value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "array",
    [np.arange(6).reshape(2, 3), np.array([np.nan, -0.0], np.float32), np.zeros((0, 4), bool), np.array(7)],
    ids=str,
)
def test_an_array_comes_back_with_its_bits_its_type_and_its_shape(tmp_path, array):
    (found,) = returned(tmp_path, array)
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_a_mapped_array_and_a_number_of_numpy_come_back(tmp_path):
    np.save(tmp_path / "rows.npy", np.arange(4))
    rows, number = returned(tmp_path, np.load(tmp_path / "rows.npy", mmap_mode="r"), np.float32(0.1))
    np.testing.assert_array_equal(rows, np.arange(4))
    assert (number, type(number)) == (np.float32(0.1), np.float32)


def test_objects_hold_objects_and_arrays(tmp_path):
    work = Work(np.array([3, 1]), Runtime("cpu", 7))
    ((found,),) = returned(tmp_path, [work])
    assert (type(found), found.runtime, found.rows.tolist()) == (Work, work.runtime, [3, 1])


def test_nan_and_read_only_mappings_come_back(tmp_path):
    number, mapping = returned(tmp_path, float("nan"), MappingProxyType({"a": 1}))
    assert number != number
    assert mapping == {"a": 1}


def test_paths_are_made_absolute_because_a_worker_may_start_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert returned(tmp_path, Path("corpus")) == (tmp_path / "corpus",)


def test_a_function_of_the_package_is_called(tmp_path):
    (tmp_path / "a").write_text("text")
    assert run_job(write_job(tmp_path / "job", tree_digest, tmp_path / "a")) == tree_digest(tmp_path / "a")


def test_checks_of_a_constructor_run_again(tmp_path):
    file = write_job(tmp_path, same, Runtime("cpu", 4096))
    file.write_text(file.read_text().replace("4096", "0"))
    with pytest.raises(ConfigError, match=r"Runtime\.batch_tokens=0 .*at least 1 or null"):
        run_job(file)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({1, 2}, "argument 2 of .*same is a set"),
        ([0, {"key": object()}], r"argument 2 of .*same\[1\]\['key'\] is a object"),
        (Work(np.array([]), {3}), r"argument 2 of .*same\.runtime is a set"),
        (Colour.RED, "is a Colour"),
        (np.array([object()]), "is a ndarray"),
        (Changing(3), "is a Changing, which may have changed"),
        (Recipe, "is a type"),
    ],
)
def test_what_cannot_travel_is_named_with_its_place(tmp_path, value, place):
    with pytest.raises(TypeError, match=place):
        write_job(tmp_path, same, 0, value)
    assert not (tmp_path / job_module.FILE).exists()


def test_functions_without_a_name_or_of_other_packages_are_refused(tmp_path):
    for function in (lambda: None, json.dumps, MappingProxyType):
        with pytest.raises(TypeError, match="cannot travel in a job"):
            write_job(tmp_path, function)
    for function in (lambda: None, json.dumps):
        with pytest.raises(TypeError, match="cannot travel in a job"):
            write_job(tmp_path, same, function)


def test_a_function_of_the_package_travels_as_an_argument(tmp_path):
    assert run_job(write_job(tmp_path, same, tree_digest)) == (tree_digest,)
    file = tmp_path / job_module.FILE
    file.write_text(file.read_text().replace("delt_exp.files:tree_digest", "os:system"))
    with pytest.raises(DataError, match="a job names only functions and dataclasses of"):
        run_job(file)


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "delt_exp.files:os.system",
        "subprocess:run",
        "delt_exp_evil:run",
        "delt_exp.files:gone",
        "delt_exp.gone:x",
    ],
)
def test_a_file_that_names_other_code_runs_nothing(tmp_path, name):
    file = write_job(tmp_path, same, "touch ran")
    file.write_text(json.dumps(read_json(file) | {"function": name}))
    with pytest.raises(DataError, match="a job names only functions and dataclasses of"):
        run_job(file)
