"""Utilities that train: same numbers again, one stage per set, restarts, processes, and the proxy's own state."""

from dataclasses import replace

import numpy as np
import pytest

from delt_exp.encoder.hashing import HashingEncoder
from delt_exp.errors import ConfigError, DataError
from delt_exp.model.optimizer import AdamW
from delt_exp.proxy.trained import TrainedProxy
from delt_exp.resources import Resources
from delt_exp.scorer.perplexity import PerplexityScorer
from delt_exp.scorer.utility import training
from delt_exp.scorer.utility.game import Asked, Game
from delt_exp.scorer.utility.trained import FinetuneUtility, RetrainUtility
from delt_exp.store.store import Store
from tests.helpers import TRAINER, make_pool, new_folder, tiny_recipe, words

ROWS = np.array([0, 2, 5])
ENCODER = HashingEncoder(16, 0)
SETS = np.array([[1, 1, 1], [1, 0, 0], [0, 1, 1]], bool)
NOTHING = np.zeros((1, 3), bool)


def contract_overrides(folder):
    return ["proxy.train_tokens=4096"]


@pytest.fixture
def pool(tmp_path):
    return make_pool(tmp_path, words(8), words(6))


def retrain(**changes):
    return replace(RetrainUtility(tiny_recipe(), 2000, 4, 0), **changes)


def losses_of(utility, pool, sets=SETS):
    return -utility.open(pool, ROWS, ENCODER).of(sets)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a pool and its losses, which are trained once for all tests."""
    pool = make_pool(tmp_path_factory.mktemp("trained"), words(8), words(6))
    return pool, losses_of(retrain(), pool)


def elsewhere(pool, tmp_path, trainer=None):
    """Return the pool with a new store."""
    old = pool.resources
    resources = Resources(Store(new_folder(tmp_path), "hash"), old.tokenizer, trainer or old.trainer, old.runtime)
    return replace(pool, resources=resources)


@pytest.mark.slow
def test_a_trained_model_is_better_than_the_one_it_began_as_and_a_set_is_trained_once(trained):
    pool, losses = trained
    nothing = losses_of(retrain(), pool, NOTHING)
    assert (losses < nothing).all()
    assert losses_of(retrain(), pool).tolist() == losses.tolist()
    uses = [use for use in pool.resources.store.uses if use.stage == "utility"]
    assert [use.cached for use in uses] == [False] * 4 + [True] * 3


@pytest.mark.slow
def test_the_same_numbers_in_another_store_and_only_they_are_kept(trained, tmp_path):
    again = elsewhere(trained[0], tmp_path)
    np.testing.assert_array_equal(losses_of(retrain(), again, SETS[1:]), trained[1][1:])
    folder = again.resources.store.uses[-1].path
    assert sorted(file.name for file in folder.iterdir()) == ["entry.json", "loss.json"]


def test_the_untrained_loss_is_that_of_the_fresh_network_by_a_plain_reading(pool):
    utility = retrain(num_target=None)
    found = losses_of(utility, pool, NOTHING)[0]
    worth = utility.open(pool, ROWS, ENCODER)
    network = utility.recipe.make_network(pool.resources.tokenizer, worth.trainings.seed).eval()
    tokens, total, count = pool.target.tokens, 0.0, 0
    import torch

    for row in range(len(tokens)):
        ids = [tokens.begin_id, *tokens.document(row).tolist()]
        for start in range(0, len(ids) - 1, 16):
            window = torch.tensor([ids[start : start + 17]])
            window_inputs = window[:, :-1]
            with torch.no_grad():
                logs = network(input_ids=window_inputs).logits.double().log_softmax(-1)
            total -= float(logs[0].gather(1, window[0, 1:, None]).sum())
        count += len(ids) - 1
    assert found == pytest.approx(total / count, rel=1e-5)


@pytest.mark.slow
def test_fine_tuning_nothing_is_the_proxy_itself(pool):
    proxy = TrainedProxy(tiny_recipe(), "target", 3000, 0)
    utility = FinetuneUtility(proxy, tiny_recipe(), 1000, None, 0)
    found = losses_of(utility, pool, NOTHING)[0]
    turned = replace(pool, candidates=pool.target)
    own, counts = PerplexityScorer(proxy).score(turned), pool.target.tokens.num_predicted
    assert found == pytest.approx((own * counts).sum() / counts.sum(), rel=1e-5)
    assert losses_of(utility, pool)[0] != found
    assert utility.needs == {"target", "tokens"}


@pytest.mark.slow
def test_a_killed_valuation_goes_on_with_the_sets_that_are_left(pool, monkeypatch):
    trained = []

    def failing(job, folder):
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(job)
        return training_of(job, folder)

    training_of = training.train
    monkeypatch.setattr(training, "train", failing)
    with pytest.raises(KeyboardInterrupt):
        losses_of(retrain(), pool)
    monkeypatch.setattr(training, "train", lambda job, folder: (trained.append(job), training_of(job, folder)))
    losses_of(retrain(), pool)
    assert len(trained) == 3


@pytest.mark.slow
def test_processes_give_the_same_numbers(trained, tmp_path):
    several = replace(TRAINER, strategy="ddp", devices=2)
    spread = elsewhere(trained[0], tmp_path, several)
    found = losses_of(retrain(), spread)
    assert [use.cached for use in spread.resources.store.uses if use.stage == "utility"] == [True] * 3
    np.testing.assert_array_equal(found, trained[1])


def test_training_that_diverges_is_refused_with_the_set(pool):
    wild = replace(
        tiny_recipe(), optimizer=AdamW(lr=1e30, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1), clip_norm=None
    )
    worth = retrain(recipe=wild).open(pool, ROWS, ENCODER)
    with pytest.raises(DataError, match=r"a set of 3 proxies \(ids .* is nan"):
        Game(worth, pool.candidates.corpus.ids[ROWS])(SETS[:1])


def test_fewer_tokens_than_a_batch_and_more_target_documents_than_there_are_are_refused(pool):
    with pytest.raises(ConfigError, match=r"scorer.utility.train_tokens is 5, less than"):
        losses_of(retrain(train_tokens=5), pool)
    with pytest.raises(ConfigError, match=r"scorer.utility.num_target=99 is more than the 6 documents"):
        losses_of(retrain(num_target=99), pool)


def test_a_forecast_counts_every_set(pool):
    few, many = (retrain().forecast(pool.sizes, pool.resources, Asked(count, 4)) for count in (10, 20))
    assert [cost.phase for cost in few] == ["valuation: training", "valuation: target"]
    assert [b.flops / a.flops for a, b in zip(few, many, strict=True)] == [2, 2]
