"""What every averaging promises: a mean whose shares sum to 1, kept beside a training run that does not notice it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from delt_exp.cli.help import options
from delt_exp.config.build import CONF, build
from delt_exp.files import read_json
from delt_exp.trainer.stage import training_inputs
from delt_exp.trainer.train import train
from delt_exp.trainer.trajectory import trajectory_stage
from tests.contract import configured
from tests.helpers import make_pool, new_folder, words
from tests.trainer.test_train import interrupted, job_of, trained

OPTIONS = [option for option in options(CONF, "averaging") if option != "none"]


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return make_pool(tmp_path_factory.mktemp("averaging"), words(40))


@pytest.fixture
def job(pool, request, tmp_path):
    averaging = build(configured("averaging", request.param, tmp_path).averaging, "averaging")
    if request.param == "last_k":  # of a run as short as this one
        averaging = replace(averaging, k=3, last_ratio=0.5)
    return replace(job_of(pool, micro_batch_items=3, checkpoint_steps=2), averaging=averaging)


def averaged(folder):
    return load_file(folder / "averaged" / "model.safetensors")


def model_bytes(folder, weights="model"):
    return (folder / weights / "model.safetensors").read_bytes()


def shares(averaging, num_steps):
    """What the weights after each update have in the mean at the end, by the definition of a running mean."""
    parts = np.zeros(num_steps)
    for update in range(1, num_steps + 1):
        share = averaging.share(update, num_steps)
        parts *= 1 - share
        parts[update - 1] = share
    return parts


@pytest.mark.parametrize("job", OPTIONS, indirect=True)
@pytest.mark.parametrize("num_steps", [13, 100, 1999])
def test_the_shares_of_all_weights_sum_to_1_and_the_last_ones_have_most(job, num_steps):
    found = shares(job.averaging, num_steps)
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert found.min() >= 0
    assert found[-1] == pytest.approx(found.max())


@pytest.mark.slow
@pytest.mark.parametrize("job", OPTIONS, indirect=True)
def test_the_mean_is_that_of_the_weights_after_each_update(job, pool, tmp_path):
    num_steps = job.plan.num_steps
    states = trajectory_stage(pool.resources.store, replace(job, averaging=None), range(1, num_steps + 1))
    found, parts = averaged(trained(tmp_path, job)), shares(job.averaging, num_steps)
    each = [load_file(state.folder / "model.safetensors") for state in states]
    for name, value in found.items():
        expected = sum(part * weights[name].double() for part, weights in zip(parts, each, strict=True))
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), expected, rtol=0, atol=2e-7)


@pytest.mark.slow
@pytest.mark.parametrize("job", OPTIONS, indirect=True)
def test_training_gives_the_same_bits_with_and_without_a_mean_and_its_order_is_proven(job, tmp_path):
    with_mean, without = trained(tmp_path, job), trained(tmp_path, replace(job, averaging=None))
    assert model_bytes(with_mean) == model_bytes(without)
    assert not (without / "averaged").exists()
    assert read_json(with_mean / "result.json")["order_mismatch"] == ""
    assert "averaging" not in training_inputs(replace(job, averaging=None))


@pytest.mark.slow
@pytest.mark.parametrize("job", OPTIONS, indirect=True)
def test_a_run_that_was_killed_ends_with_the_same_mean(job, tmp_path, monkeypatch):
    folder = new_folder(tmp_path)
    interrupted(job, folder, monkeypatch, job.plan.num_steps - 2)
    train(job, folder)
    assert model_bytes(folder, "averaged") == model_bytes(trained(tmp_path, job), "averaged")


@pytest.mark.slow
@pytest.mark.parametrize(("job", "strategy"), [("last_k", "ddp"), ("ema", "fsdp")], indirect=["job"])
def test_several_processes_keep_the_mean_of_one_that_began(job, tmp_path, monkeypatch, strategy):
    """One process is killed, two go on: the mean is the same to rounding, whole although it was in shards."""
    folder = new_folder(tmp_path)
    interrupted(job, folder, monkeypatch, job.plan.num_steps - 2)
    two = replace(job.trainer, strategy=strategy, devices=2, accelerator="cpu", micro_batch_items=2)
    train(replace(job, trainer=two), folder)
    expected = averaged(trained(tmp_path, job))
    for name, value in averaged(folder).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-2, atol=1e-3)
