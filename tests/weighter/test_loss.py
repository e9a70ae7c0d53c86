"""Weights by the losses of a batch: by hand, in training, on two processes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from delt_exp.distributed.processes import launch
from delt_exp.errors import ConfigError
from delt_exp.files import read_json
from delt_exp.model.cost import ModelSize
from delt_exp.store.evidence import Evidence
from delt_exp.trainer.job import SHOWN, Setup
from delt_exp.trainer.planning import PlanSettings
from delt_exp.trainer.train import train
from delt_exp.weighter.batch_weights import softmax_weights
from delt_exp.weighter.loss import LossWeighter
from delt_exp.weighter.loss_weights import strength
from tests.helpers import TRAINER, make_pool, new_folder, tiny_recipe, words
from tests.trainer.test_train import interrupted, job_of, train_ranks, trained
from tests.weighter.dwm.test_weights import given
from tests.weighter.test_static import bits


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return make_pool(tmp_path_factory.mktemp("loss"), words(40))


def loss_job(pool, strategy="linupper", temperature=1.0, **settings):
    job = job_of(pool, layout="padded", **settings)
    return replace(job, weighter=LossWeighter(strategy, temperature))


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("linupper", [0.0, 0.5, 1.0, 1.0]), ("quadratic", [0.0, 0.75, 1.0, 0.0]), ("extremes", [1.0, 0.5, 0.0, 1.0])],
)
def test_strategies_by_hand(strategy, expected):
    """Losses 1, 2, 3, 5 are h = -1, -1/2, 0, 1; one of a sequence without a label changes none of them."""
    losses, has_label = torch.tensor([1.0, 2.0, 3.0, 5.0, 0.0]), torch.tensor([True] * 4 + [False])
    assert strength(losses, has_label, strategy)[:4].tolist() == pytest.approx(expected)


def test_weights_by_hand_have_the_mean_1():
    """linupper with temperature 1 / ln 3: 3^0 : 3^(1/2) : 3 : 3."""
    strengths = strength(torch.tensor([1.0, 2.0, 3.0, 5.0]).double(), torch.ones(4, dtype=torch.bool), "linupper")
    expected = np.array([1, 3**0.5, 3, 3])
    np.testing.assert_allclose(softmax_weights(strengths * np.log(3)), expected / expected.mean())


def test_equal_losses_weigh_exactly_1():
    for count in (2, 3, 49, 98):
        found = softmax_weights(strength(torch.full((count,), 0.1).double(), torch.ones(count) > 0, "extremes"))
        assert (found == 1).all(), count


def test_what_enters_the_loss_is_what_the_losses_of_the_batch_say(pool, tmp_path):
    job = loss_job(pool)
    folder = trained(tmp_path, job)
    assert read_json(folder / "result.json")["order_mismatch"] == ""
    network, means = job.recipe.make_network(job.tokenizer, 0), []
    for item in map(job.plan.item, range(8)):
        logits = network(input_ids=torch.from_numpy(item.inputs)[None]).logits[0]
        means.append(float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(item.labels)).detach()))
    h = (2 * np.array(means) - max(means) - min(means)) / (max(means) - min(means))
    expected = np.exp(np.minimum(h + 1, 1))
    np.testing.assert_allclose(given(folder, job)[:8], expected / expected.mean(), rtol=1e-4)


def test_low_losses_count_less_and_the_page_can_say_so(pool, tmp_path):
    folder = trained(tmp_path, loss_job(pool))
    stages = Evidence(folder / SHOWN).read_table("weights_by_stage").to_pydict()
    assert stages["correlation_with_loss"][0] > 0.5


@pytest.mark.slow
def test_weights_do_not_depend_on_how_a_batch_is_cut_or_on_processes(pool, tmp_path):
    job, two = loss_job(pool), new_folder(tmp_path)
    on_two = replace(job, trainer=replace(job.trainer, strategy="ddp", devices=2, micro_batch_items=2))
    launch(train_ranks, ([(on_two, two, None)],), 2)
    whole, cut = (trained(tmp_path, loss_job(pool, micro_batch_items=size)) for size in (8, 3))
    assert read_json(two / "result.json")["order_mismatch"] == ""
    for folder in (cut, two):
        np.testing.assert_allclose(given(folder, job), given(whole, job), rtol=5e-3)


@pytest.mark.slow
def test_a_resumed_run_has_the_same_bits(pool, tmp_path, monkeypatch):
    job, folder = loss_job(pool, checkpoint_steps=2), new_folder(tmp_path)
    interrupted(job, folder, monkeypatch, 3)
    train(job, folder)
    whole = trained(tmp_path, job)
    assert bits(folder) == bits(whole)
    assert (folder / "consumed.npy").read_bytes() == (whole / "consumed.npy").read_bytes()


@pytest.mark.parametrize(("strategy", "temperature"), [("uniform", 1.0), ("linupper", 0.0), ("linupper", -1.0)])
def test_settings_without_a_meaning_are_refused(strategy, temperature):
    with pytest.raises(ConfigError, match=r"LossWeighter\.(strategy|temperature)=.* is not allowed"):
        LossWeighter(strategy, temperature)


def test_a_batch_of_one_is_refused_and_reading_first_costs_a_forward_pass():
    weighter, padded = LossWeighter("linupper", 1.0), PlanSettings("padded", 1, None, False)
    with pytest.raises(ConfigError, match=r"use model.batch_items=2 or more with weighter=loss"):
        weighter.check(Setup(tiny_recipe(batch_items=1), padded, TRAINER), None, 100)
    whole = Setup(tiny_recipe(), padded, TRAINER)
    cut = replace(whole, trainer=replace(TRAINER, micro_batch_items=4))
    weighter.check(whole, None, 100)
    size = ModelSize(parameters=10, activation_bytes_per_token=1, reading_bytes_per_token=1)
    assert weighter.forecast(whole, None, size, 1000) == []
    assert [cost.flops for cost in weighter.forecast(cut, None, size, 1000)] == [2 * 10 * 1000]
