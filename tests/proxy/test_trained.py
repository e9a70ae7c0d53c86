"""Probes trained here."""

import pytest
import torch

from delt_exp.config.identity import identity
from delt_exp.errors import ConfigError, DataError
from delt_exp.proxy.base import check_before, known_limit
from delt_exp.proxy.trained import TrainedProxy
from delt_exp.scorer.gradnorm import GradnormScorer
from tests.alignment.tiny import make_resources, tiny_probe
from tests.helpers import make_pool, tiny_recipe, words


@pytest.mark.slow
def test_a_probe_is_trained_once_and_read_in_evaluation_mode(tmp_path):
    resources = make_resources(tmp_path)
    first, second = (tiny_probe().prepare(resources) for _ in range(2))
    assert not first.network.training
    assert next(first.network.parameters()).dtype == torch.float32
    assert all(torch.equal(a, b) for a, b in zip(first.network.parameters(), second.network.parameters(), strict=True))
    assert first.position_limit == 64
    assert sum(use.stage == "model" and not use.cached for use in resources.store.uses) == 1


def test_another_seed_or_dataset_is_another_probe():
    probes = [tiny_probe(), tiny_probe(seed=1), tiny_probe(train_tokens=1024)]
    names = [str(identity(probe)) for probe in probes]
    assert len(set(names)) == 3


def test_a_wrong_setting_is_refused_at_once():
    with pytest.raises(ConfigError, match=r"DatasetProxy.train_tokens=0 is not allowed"):
        tiny_probe(train_tokens=0)


def test_messages_of_its_training_run_name_its_own_keys(tmp_path):
    with pytest.raises(ConfigError, match=r"^probe.train_tokens is 5, less than the \d+ tokens of one batch"):
        tiny_probe(train_tokens=5).prepare(make_resources(tmp_path))
    with pytest.raises(ConfigError, match=r"^probe.recipe.context_tokens is 65, .* use probe.recipe.context_tokens=64"):
        tiny_probe(recipe=tiny_recipe(context_tokens=65)).prepare(make_resources(tmp_path))
    pool = make_pool(tmp_path, words(6))
    with pytest.raises(DataError, match=r"fewer than one batch of 500; lower proxy.recipe.batch_items"):
        TrainedProxy(tiny_recipe(batch_items=500), "sample", 2_000, 0).prepare(pool.resources, pool.candidates)


@pytest.mark.slow
def test_positions_are_known_before_the_model_is_trained(tmp_path):
    pool = make_pool(tmp_path, words(6))
    proxy = TrainedProxy(tiny_recipe(), "sample", 2_000, 0)
    limit = known_limit(proxy, pool.resources)
    assert limit == proxy.prepare(pool.resources, pool.candidates).position_limit
    check_before(proxy, pool.resources, limit, "scorer.context_tokens")
    with pytest.raises(
        ConfigError, match=f"^scorer.context_tokens={limit + 1}, but the network of the proxy has {limit} pos"
    ):
        check_before(proxy, pool.resources, limit + 1, "scorer.context_tokens")


def test_a_scorer_that_reads_more_than_the_positions_is_refused_before_the_model_is_trained(tmp_path, monkeypatch):
    pool = make_pool(tmp_path, words(6))
    proxy = TrainedProxy(tiny_recipe(), "sample", 2_000, 0)
    limit = known_limit(proxy, pool.resources)
    monkeypatch.setattr(TrainedProxy, "prepare", lambda *_: pytest.fail("the proxy was trained first"))
    with pytest.raises(ConfigError, match=f"^scorer.context_tokens={limit + 1}, but the network of the proxy has"):
        GradnormScorer(proxy=proxy, context_tokens=limit + 1).score(pool)
