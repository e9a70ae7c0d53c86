"""What every weighter promises: weights of mean 1 that enter the loss, and a restart with the same bits."""

from dataclasses import replace

import numpy as np
import pytest

from delt_exp.cli.help import options
from delt_exp.config.build import CONF, build
from delt_exp.files import read_json
from delt_exp.model.cost import ModelSize, Sizes
from delt_exp.trainer.job import Setup
from delt_exp.trainer.planning import PlanSettings
from delt_exp.trainer.train import train
from tests.contract import configured
from tests.helpers import make_pool, new_folder, words
from tests.trainer.test_train import interrupted, job_of, trained
from tests.weighter.test_static import bits

pytestmark = pytest.mark.slow

OPTIONS = options(CONF, "weighter")


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return make_pool(tmp_path_factory.mktemp("contract"), words(40), words(9, seed=8))


@pytest.fixture
def job(pool, request, tmp_path):
    weighter = build(configured("weighter", request.param, tmp_path).weighter, "weighter")
    goodness = np.linspace(-1, 2, 40, dtype=np.float32) if weighter.reads_scores else None
    target = pool.target.tokens if weighter.reads_target else None
    plain = job_of(pool, layout="padded", micro_batch_items=3, checkpoint_steps=2)
    return replace(plain, weighter=weighter, goodness=goodness, target=target)


@pytest.mark.parametrize("job", OPTIONS, indirect=True)
def test_weights_have_the_mean_1_and_are_those_that_enter_the_loss(job, tmp_path):
    folder, plan = trained(tmp_path, job), job.plan
    assert read_json(folder / "result.json")["order_mismatch"] == ""
    consumed = np.load(folder / "consumed.npy", allow_pickle=False)
    weights = consumed["least_weight"] * plan.labels_per_step()[consumed["step"]]
    starts = np.arange(0, plan.num_items, plan.batch_items)
    means = np.add.reduceat(weights, starts) / np.diff(starts, append=plan.num_items)
    np.testing.assert_allclose(means, 1, rtol=1e-4)


@pytest.mark.parametrize("job", OPTIONS, indirect=True)
def test_a_run_that_was_killed_ends_with_the_same_bits(job, tmp_path, monkeypatch):
    folder = new_folder(tmp_path)
    interrupted(job, folder, monkeypatch, 5)
    train(job, folder)
    whole = trained(tmp_path, job)
    assert bits(folder) == bits(whole)
    assert (folder / "consumed.npy").read_bytes() == (whole / "consumed.npy").read_bytes()


@pytest.mark.parametrize("job", OPTIONS, indirect=True)
def test_settings_of_a_usual_run_are_accepted_and_forecast(job):
    padded = PlanSettings("padded", epochs=1, max_tokens=None, completion_only=False)
    setup = Setup(job.recipe, padded, job.trainer)
    job.weighter.check(setup, job.plan.tokens, job.plan.num_steps)
    sizes = Sizes(job.plan.tokens.lengths, 4, 1, None)
    size = ModelSize(parameters=10, activation_bytes_per_token=1, reading_bytes_per_token=1)
    assert all(cost.flops > 0 for cost in job.weighter.forecast(setup, sizes, size, 10_000))
