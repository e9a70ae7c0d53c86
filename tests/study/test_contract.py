"""What every study in conf/study promises: its runs compose, and its report is one."""

from functools import cache

import pytest
from hydra import compose, initialize_config_dir

from delt_exp.cli import CONF
from delt_exp.cli_help import options
from delt_exp.config import build
from delt_exp.run_name import register_resolvers
from delt_exp.study.alignment import Pair, is_diagonal
from delt_exp.study.definition import at_seed

STUDIES = options(CONF, "study")


@pytest.fixture(autouse=True)
def hydra():
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


@cache
def study_of(name):
    return build(compose("config", [f"study={name}"]).study, "study")


@cache
def first_jobs(name):
    """Return jobs of a study for its first seed that have each of its choices once, and their configurations."""
    study = study_of(name)
    jobs = [job for job in study.jobs() if job.seed == study.seeds[0]]
    common, unseen, found = [f"study={name}", *study.common], {text for job in jobs for text in job.overrides}, []
    while unseen:
        job = max(jobs, key=lambda job: len(unseen.intersection(job.overrides)))
        unseen.difference_update(job.overrides)
        texts = [text.replace("{base}", "base") for text in at_seed([*common, *job.overrides], job.seed)]
        found.append((job, compose("config", texts)))
    return found


@pytest.mark.parametrize("name", STUDIES)
def test_every_choice_of_a_study_composes_and_no_two_runs_are_the_same(name):
    study = study_of(name)
    assert study.question.endswith("?")
    assert callable(study.report.findings)
    jobs = study.jobs()
    assert len({job.overrides for job in jobs}) == len(jobs)
    assert all(config.seed == job.seed for job, config in first_jobs(name))
    if study.base is not None:
        compose("config", [f"study={name}", *study.base])


@pytest.mark.parametrize("name", STUDIES)
def test_every_seed_that_a_run_sets_is_its_own(name):
    for job in study_of(name).jobs():
        seeds = [text.split("=")[1] for text in job.overrides if text.split("=")[0].endswith("seed")]
        assert set(seeds) == {str(job.seed)}


@pytest.mark.parametrize("name", [name for name in STUDIES if not name.startswith("alignment_vs_size")])
def test_runs_of_a_panel_learn_from_equally_many_tokens(name):
    """But for those whose longer training is the point."""
    panel = getattr(study_of(name).report, "panel", None)
    budgets = {}
    for job, config in first_jobs(name):
        assert config.training.epochs is None or "longer" in job.slices
        if "longer" not in job.slices:
            budgets.setdefault(dict(job.arm).get(panel), set()).add(config.training.max_tokens)
    assert all(len(tokens) == 1 and min(tokens) > 0 for tokens in budgets.values())


@pytest.mark.parametrize("name", [name for name in STUDIES if name.startswith("alignment")])
def test_a_study_of_alignment_evaluates_on_a_domain_that_it_trains_on_and_on_others(name):
    pairs = []
    for job, config in first_jobs(name):
        corpus = dict(job.arm)["train_dataset"]
        pairs += [is_diagonal(Pair(corpus, evaluation, 0, 0, 0.0, {}, {})) for evaluation in config.eval_dataset]
    assert any(pairs)
    assert not all(pairs)
