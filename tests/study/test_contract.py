"""What every study in conf/study promises: its runs compose, and its report is one."""

import pytest
from hydra import compose, initialize_config_dir

from delt_exp.cli import CONF
from delt_exp.cli_help import options
from delt_exp.config import build
from delt_exp.run_name import register_resolvers

STUDIES = options(CONF, "study")


@pytest.fixture(autouse=True)
def hydra():
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


@pytest.mark.parametrize("name", STUDIES)
def test_every_run_of_a_study_composes_and_no_two_are_the_same(name):
    study = build(compose("config", [f"study={name}"]).study, "study")
    assert study.question.endswith("?")
    assert callable(study.report.findings)
    jobs = study.jobs()
    assert len({job.overrides for job in jobs}) == len(jobs)
    for job in jobs:
        if job.seed == study.seeds[0]:
            texts = [text.replace("{base}", "base") for text in (*study.common, *job.overrides)]
            assert compose("config", [f"study={name}", *texts]).seed == job.seed
    if study.base is not None:
        compose("config", [f"study={name}", *study.base])


@pytest.mark.parametrize("name", STUDIES)
def test_every_seed_that_a_run_sets_is_its_own(name):
    study = build(compose("config", [f"study={name}"]).study, "study")
    for job in study.jobs():
        seeds = [text.split("=")[1] for text in job.overrides if text.split("=")[0].endswith("seed")]
        assert set(seeds) == {str(job.seed)}


@pytest.mark.parametrize("name", STUDIES)
def test_runs_of_a_study_learn_from_equally_many_tokens(name):
    config = compose("config", [f"study={name}"])
    assert config.training.epochs is None
    assert config.training.max_tokens > 0
