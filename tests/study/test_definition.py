"""Which runs a study asks for."""

import pytest

from delt_exp.errors import ConfigError
from delt_exp.study.definition import Study, at_seed
from delt_exp.study.sweep import side_by_side


class NoReport:
    def findings(self, study):
        raise NotImplementedError


def study(slices, seeds=(0, 1)):
    return Study("Why?", False, seeds, None, [], slices, NoReport(), None)


def test_a_slice_is_every_combination_of_its_choices_seed_by_seed():
    jobs = study({"all": {"scorer": ["random", "length"], "orderer": ["folding"]}}).jobs()
    assert [job.overrides for job in jobs] == [
        ("scorer=random", "orderer=folding", "seed=0"),
        ("scorer=length", "orderer=folding", "seed=0"),
        ("scorer=random", "orderer=folding", "seed=1"),
        ("scorer=length", "orderer=folding", "seed=1"),
    ]
    assert jobs[1].arm == {"scorer": "length", "orderer": "folding"}


def test_a_label_stands_for_several_overrides():
    (job,) = study({"all": {"how": [{"short first": ["scorer=length", "scorer.longer=false"]}]}}, seeds=[3]).jobs()
    assert job.arm == {"how": "short first"}
    assert job.overrides == ("scorer=length", "scorer.longer=false", "seed=3")


def test_the_seed_stands_in_slices_and_in_what_is_common():
    asked = Study(
        "Why?",
        False,
        (7,),
        None,
        ["proxy.seed={seed}"],
        {"a": {"x": [{"y": ["scorer.seed={seed}"]}]}},
        NoReport(),
        None,
    )
    (job,) = asked.jobs()
    assert job.overrides == ("scorer.seed=7", "seed=7")
    assert at_seed(asked.common, job.seed) == ["proxy.seed=7"]


def test_a_run_that_two_slices_ask_for_is_one_run():
    jobs = study({"a": {"scorer": ["random", "length"]}, "b": {"scorer": ["length"]}}, seeds=[0]).jobs()
    assert [(job.overrides[0], job.slices) for job in jobs] == [
        ("scorer=random", ("a",)),
        ("scorer=length", ("a", "b")),
    ]


@pytest.mark.parametrize(
    ("slices", "seeds", "message"),
    [
        ({}, [0], "study.slices is empty"),
        ({"a": {"scorer": []}}, [0], "study.slices.a.scorer has no choices"),
        ({"a": {"scorer": ["random"]}}, [], "at least one seed"),
        ({"a": {"scorer": ["random"]}}, [1, 1], "each once"),
        ({"a": {"scorer": ["random"]}}, [-1], r"Study\.seeds\[0\]=-1 "),
    ],
)
def test_a_study_without_runs_is_refused(slices, seeds, message):
    with pytest.raises(ConfigError, match=message):
        study(slices, seeds)


def test_neighbours_that_run_at_the_same_time_are_one_arm_at_different_seeds():
    jobs = study({"all": {"scorer": ["random", "length"]}}, seeds=(0, 1, 2)).jobs()
    at = [[(job.arm["scorer"], job.seed) for job in side_by_side(jobs, width)] for width in (1, 2, 3)]
    assert at[0] == [(scorer, seed) for seed in (0, 1, 2) for scorer in ("random", "length")]
    assert at[1] == [("random", 0), ("random", 1), ("length", 0), ("length", 1), ("random", 2), ("length", 2)]
    assert at[2] == [(scorer, seed) for scorer in ("random", "length") for seed in (0, 1, 2)]
