"""What every study in conf/study promises: its runs compose, and its report is one."""

import os
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from delt_exp.cli.help import options
from delt_exp.config.build import CONF, build, construct, plain
from delt_exp.config.compose import composed
from delt_exp.corpus.stages import overlap_stage
from delt_exp.corpus.writing import CorpusSettings
from delt_exp.dataset.near_duplicates import words
from delt_exp.files import digest
from delt_exp.steps.reading import evaluation_texts, read_corpora
from delt_exp.store.store import Store
from delt_exp.study.alignment.pairs import Pair, is_diagonal
from delt_exp.study.definition import at_seed

pytestmark = pytest.mark.slow

DATA = Path(os.environ.get("DELT_DATA_DIR", Path(__file__).parents[3] / "shared" / "data"))
STUDIES = options(CONF, "study")


@cache
def study_of(name):
    return build(composed(CONF, [f"study={name}"]).study, "study")


def first_jobs(name):
    """Return jobs of a study for its first seed that have each of its choices once, and their configurations.

    These are the caller's: composing them again costs a millisecond, and copying them 20.
    """
    return [(job, composed(CONF, texts)) for job, texts in texts_of_first_jobs(name)]


@cache
def texts_of_first_jobs(name):
    study = study_of(name)
    jobs = [job for job in study.jobs() if job.seed == study.seeds[0]]
    common, unseen, found = [f"study={name}", *study.common], {text for job in jobs for text in job.overrides}, []
    while unseen:
        job = max(jobs, key=lambda job: len(unseen.intersection(job.overrides)))
        unseen.difference_update(job.overrides)
        texts = at_seed([*common, *job.overrides], job.seed)
        found.append((job, [text.replace("{base}", "base") for text in texts]))
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
        composed(CONF, [f"study={name}", *at_seed(study.base, study.seeds[0])])


@cache
def datasets_of(name):
    """Return configurations of a study's runs by the digest of candidates, target and evaluation, one for each."""
    nodes = ("train_dataset", "target_dataset", "eval_dataset", "corpus", "decontaminate")
    configs = [config for _, config in first_jobs(name)] if name else [composed(CONF, [])]
    return {digest([plain(config[node]) for node in nodes]): config for config in configs}


class Known:
    """A store for all studies, and the documents of every corpus in it as normalised words: studies share corpora."""

    def __init__(self, folder):
        self.store, self.words, self.disjoint = Store(folder, verify="size"), {}, set()

    def texts_as_words(self, corpus):
        if corpus.digest not in self.words:
            self.words[corpus.digest] = {tuple(words(text)) for text in corpus.texts()}
        return self.words[corpus.digest]


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return Known(tmp_path_factory.mktemp("store"))


@pytest.mark.parametrize("name", ["", *STUDIES])
def test_target_candidates_and_evaluation_sets_are_disjoint(name, known):
    """By normalised words as configured; for near-duplicates as runs read them. The empty name is the default run."""
    for choice, config in datasets_of(name).items():
        if choice in known.disjoint:  # another study has the same sets
            continue
        nodes = OmegaConf.masked_copy(config, ["train_dataset", "target_dataset", "eval_dataset"])
        if "Hub" in OmegaConf.to_yaml(nodes):
            continue
        if "data_dir" in OmegaConf.to_yaml(nodes) and not DATA.is_dir():
            pytest.skip(f"the local data folder {DATA} is not there")
        config.data_dir = str(DATA)
        parts = SimpleNamespace(
            train_dataset=build(config.train_dataset),
            target_dataset=build(config.target_dataset),
            eval_dataset={key: build(node) for key, node in config.eval_dataset.items()},
            corpus=construct(CorpusSettings, config.corpus, "corpus"),
            target_readers=["scorer"],
            decontaminate=False,
            drop_near_duplicates=False,
            store=known.store,
        )
        evaluation = list(evaluation_texts(parts).values())
        sets = [known.texts_as_words(one) for one in (*read_corpora(parts), *evaluation)]
        assert not any(sets[0] & other for other in sets[1:])
        assert not any(sets[1] & other for other in sets[2:])
        parts.decontaminate = config.decontaminate
        candidates, target = read_corpora(parts)
        counts = overlap_stage(known.store, candidates, [target, *evaluation])
        counts += overlap_stage(known.store, target, evaluation) if evaluation else []
        assert {(row["exact"], row["near"]) for row in counts} == {(0, 0)}
        assert len(candidates) > 0.8 * len(sets[0])
        known.disjoint.add(choice)


@pytest.mark.parametrize("name", ["", *STUDIES])
def test_seeds_of_proxy_scorer_data_scorer_and_selector_follow_that_of_the_run(name):
    for config in [config for _, config in first_jobs(name)] if name else [composed(CONF, [])]:
        config.seed = 7
        for component in (config.scorer, config.selector):
            assert set(seeds_in(OmegaConf.to_container(component, resolve=True))) <= {7}


def seeds_in(node):
    """Yield every seed in a component, at any depth."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if key == "seed":
            yield value
        yield from seeds_in(value)


@pytest.mark.parametrize("name", STUDIES)
def test_every_seed_that_a_run_sets_is_its_own_or_made_of_it(name):
    for job in study_of(name).jobs():
        seeds = [text.split("=")[1] for text in job.overrides if text.split("=")[0].endswith("seed")]
        assert str(job.seed) in seeds
        assert all(seed.endswith(str(job.seed)) for seed in seeds)


@pytest.mark.parametrize("name", [name for name in STUDIES if name.startswith("active_dpo")])
def test_seeds_of_a_study_of_picks_share_neither_candidates_nor_base_nor_sketch_and_arms_of_one_share_all(name):
    study = study_of(name)
    assert not any(text.startswith("train_dataset") for job in study.jobs() for text in job.overrides)
    jobs = {job.seed: job for job in study.jobs() if job.arm["selection"] == "active_dpo"}
    assert set(jobs) == set(study.seeds)
    for seed, job in jobs.items():
        base = composed(CONF, [f"study={name}", *at_seed(study.base, seed)])
        texts = [text.replace("{base}", "base") for text in (*study.common, *job.overrides)]
        run = composed(CONF, [f"study={name}", *texts])
        assert (base.seed, run.selector.seed) == (seed, seed)
        # The base has read no answer of a candidate: it has the other part of the seed's split.
        assert plain(base.train_dataset) | {"part": "target"} == plain(run.train_dataset)
        assert (base.train_dataset.part, run.train_dataset.seed) == ("train", seed)
        assert 0 < run.train_dataset.target_share < 1


BUDGETS_VARY = ("alignment_vs_size", "alignment_sizes")


@pytest.mark.parametrize("name", [name for name in STUDIES if not name.startswith(BUDGETS_VARY)])
def test_runs_of_a_panel_learn_from_equally_many_tokens(name):
    """But for those whose longer training is the point. Passes over all candidates are a budget, too."""
    panel = getattr(study_of(name).report, "panel", None)
    budgets = {}
    for job, config in first_jobs(name):
        if {"longer", "one epoch"}.intersection(job.slices):
            continue
        epochs, tokens = config.training.epochs, config.training.max_tokens
        is_one_pass = (epochs, tokens, config.selector._target_) == (1, None, "delt_exp.selector.all.keep_all")
        assert epochs is None or is_one_pass
        passes = config.training.candidate_epochs
        budget = candidates_of(config) if is_one_pass or passes else tokens
        assert budget
        assert not (passes and tokens)
        budgets.setdefault(dict(job.arm).get(panel), set()).add(budget)
    assert all(len(budget) == 1 for budget in budgets.values())


def candidates_of(config):
    """Return a digest of what decides which documents are the candidates."""
    nodes = ["train_dataset", "corpus", "drop_near_duplicates", "decontaminate"]
    nodes += ["target_dataset", "eval_dataset"] if config.decontaminate else []
    return digest([plain(config[node]) for node in nodes])


@pytest.mark.parametrize("name", STUDIES)
def test_runs_whose_losses_are_paired_by_document_share_one_tokenizer(name):
    """A tokenizer that is trained on candidates needs the same candidates in every run of a panel, at any seed."""
    study = study_of(name)
    if getattr(study.report, "metric", None) != "loss":
        return
    panel, found = getattr(study.report, "panel", None), {}
    for job, config in first_jobs(name):
        config.data_dir = "data"
        for seed in study.seeds[:2]:
            config.seed = seed
            reads = plain(config.tokenizer).get("dataset", "nothing") is None
            made = digest([plain(config.tokenizer), candidates_of(config) if reads else None])
            found.setdefault(dict(job.arm).get(panel), set()).add(made)
    assert {len(made) for made in found.values()} <= {1}


@pytest.mark.parametrize("name", [name for name in STUDIES if name.startswith("alignment")])
def test_a_study_of_alignment_evaluates_on_a_domain_that_it_trains_on_and_on_others(name):
    pairs = []
    for job, config in first_jobs(name):
        corpus = dict(job.arm)["train_dataset"]
        pairs += [is_diagonal(Pair(corpus, evaluation, 0, 0, 0.0, {}, {})) for evaluation in config.eval_dataset]
    assert any(pairs)
    assert not all(pairs)
