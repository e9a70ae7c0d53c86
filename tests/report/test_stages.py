"""Which stages are the run's own: said by their folders, whatever their order in the list."""

from pathlib import Path

import pytest

from delt_exp.errors import DataError
from delt_exp.report.stages import described, own_stage
from delt_exp.store.store import StageUse, Store


def use(stage, key, within=None):
    return StageUse(stage, key, Path(f"/store/{stage}/{key}"), False, 1.0, within, {"build_seconds": 1.0})


PROXY, SCORES, OWN = use("model", "proxy", within="scores"), use("scores", "s"), use("model", "own")
WHOLE, PART = use("corpus", "whole"), use("corpus", "part")
ROLES = {"candidates": [PART.path], "scores": [SCORES.path], "model": [OWN.path]}


@pytest.mark.parametrize("uses", [[WHOLE, PART, PROXY, SCORES, OWN], [OWN, SCORES, PROXY, PART, WHOLE]])
def test_the_own_model_is_told_from_the_proxy_in_any_order(uses):
    record = {"name": "run", "stages": described(uses, ROLES)}
    assert own_stage(record, "model")["key"] == "own"
    assert own_stage(record, "corpus", "candidates")["key"] == "part"
    of = {stage["key"]: (stage["role"], stage["own"]) for stage in record["stages"]}
    assert of == {
        "whole": (None, True),
        "part": ("candidates", True),
        "proxy": ("scores", False),
        "s": ("scores", True),
        "own": ("model", True),
    }


def test_a_stage_asked_for_twice_is_listed_once_as_it_was_first_obtained():
    again = StageUse("model", "own", OWN.path, True, 0.1, None, {})
    (stage,) = described([OWN, again], ROLES)
    assert (stage["cached"], stage["seconds"]) == (False, 1.0)


def test_a_proxy_that_is_the_very_model_of_the_run_is_its_own():
    assert own_stage({"stages": described([use("model", "own", within="scores")], ROLES)}, "model")["own"]


def test_a_record_without_roles_is_refused_with_a_cure():
    with pytest.raises(DataError, match=r"run old does not say which 'model' .* Repeat the command"):
        own_stage({"name": "old", "stages": [{"stage": "model", "key": "x"}]}, "model")


def test_the_store_says_for_which_stage_another_was_made(tmp_path):
    store = Store(tmp_path, "hash")

    def outer(folder):
        store.get("inner", {}, lambda inside: (inside / "x").write_text("x"))
        (folder / "y").write_text("y")

    store.get("outer", {}, outer)
    assert {found.stage: found.within for found in store.uses} == {"inner": "outer", "outer": None}
