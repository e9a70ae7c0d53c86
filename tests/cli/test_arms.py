"""`arms=[...]` and `seeds=...` on the command line."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from delt_exp.cli.arms import in_full, read_arms
from delt_exp.cli.check import check_command
from delt_exp.config.build import CONF, build
from delt_exp.config.compose import composed
from delt_exp.config.run_name import group_name
from delt_exp.errors import ConfigError

EXAMPLE = ("study=compare", "arms=[scorer=lqs,scorer=random]", "seeds=3")


def jobs(*arguments):
    """Return (arm, seed, overrides) of the runs that a command line asks for."""
    study = build(composed(CONF, in_full(arguments)).study, "study")
    return [(job.arm["arm"], job.seed, job.overrides) for job in study.jobs()]


def test_two_arms_and_a_number_of_seeds_are_a_study_of_six_runs():
    assert jobs(*EXAMPLE)[:3] == [
        ("lqs", 0, ("scorer=lqs", "seed=0")),
        ("random", 0, ("scorer=random", "seed=0")),
        ("lqs", 1, ("scorer=lqs", "seed=1")),
    ]
    assert len(jobs(*EXAMPLE)) == 6


@pytest.mark.parametrize(
    ("value", "arms"),
    [
        ("[scorer=lqs,scorer=random]", [["lqs", "scorer=lqs"], ["random", "scorer=random"]]),
        ("[scorer=lqs, orderer=saw]", [["scorer=lqs", "scorer=lqs"], ["orderer=saw", "orderer=saw"]]),
        (
            "[[scorer=lqs,orderer=folding],[scorer=random,orderer=shuffle]]",
            [["lqs folding", "scorer=lqs", "orderer=folding"], ["random shuffle", "scorer=random", "orderer=shuffle"]],
        ),
        (
            "{easy first: [scorer=perplexity,orderer=sorting], any: scorer=random}",
            [["easy first", "scorer=perplexity", "orderer=sorting"], ["any", "scorer=random"]],
        ),
        (
            "[selector={_target_: a, k: [1,2]},'name=\"a, b\"']",
            [["selector={_target_: a, k: [1,2]}"] * 2, ['name="a, b"'] * 2],
        ),
    ],
)
def test_arms_are_read_as_they_are_written(value, arms):
    assert read_arms(value) == arms


def test_what_hydra_is_given_is_what_was_written():
    (text,) = [text for text in in_full(["study=compare", """arms=[a="x\\"y",b='c d']"""]) if "arms" in text]
    assert OverridesParser.create().parse_override(text).value() == [['a="x\\"y"'] * 2, ["b='c d'"] * 2]


@pytest.mark.parametrize(("given", "seeds"), [("seeds=3", [0, 1, 2]), ("seeds=[4,7]", [4, 7])])
def test_seeds_are_a_number_or_a_list_in_any_study(given, seeds):
    assert list(composed(CONF, in_full(["study=detection", given])).study.seeds) == seeds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["arms=[scorer=lqs]"], "belongs to a study; give study=NAME too"),
        (["seeds=3"], "belongs to a study"),
        (["study=compare", "seeds=0"], "seeds=0 is not allowed; give how many"),
        (["study=compare", "arms=scorer=lqs"], "is not a list of arms"),
        (["study=compare", "arms=[scorer=lqs,random]"], "'random' is not an override"),
        (["study=compare", "arms={scorer=lqs}"], "has no name"),
        (["study=compare", "arms=[[]]"], "is not an override"),
        (["study=compare", "arms=[scorer=lqs]"], "needs at least two arms"),
        (["study=compare", "arms=[scorer=lqs,scorer=lqs]"], "two arms have the same name: lqs"),
        (["study=compare", "arms={a: scorer=lqs, b: scorer=lqs}"], "two arms have the same overrides: scorer=lqs"),
        (["study=compare", "arms=[seed=1,seed=2]"], "arms cannot differ in seed=1; give seeds="),
        (
            ["study=compare", "arms=[scorer=lqz,scorer=random]"],
            "arm lqz: scorer has no option 'lqz', did you mean 'lqs'",
        ),
        (["study=compare", "arms=[model.lr=1,model.lr=2]"], "did you mean 'model.optimizer.lr'"),
        (["study=compare", "arms=['scorer=lqs,random',scorer=length]"], "make each a separate arm"),
    ],
)
def test_arms_that_make_no_comparison_are_one_message(arguments, message):
    with pytest.raises(ConfigError) as error:
        refused(arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def refused(arguments):
    given = in_full(arguments)
    check_command(CONF, given)
    build(composed(CONF, given).study, "study")


def test_other_arms_are_a_study_in_another_folder_and_the_same_ones_in_the_same():
    folders = {
        group_name(composed(CONF, in_full(["study=compare", arms])), {"study": "compare"})
        for arms in (
            "arms=[scorer=lqs,scorer=random]",
            "arms=[scorer=lqs, scorer=random]",
            "arms=[scorer=pds,scorer=lqs]",
        )
    }
    assert len(folders) == 2
    assert any(folder.startswith("compare-lqs-vs-random-") for folder in folders)
