"""Training on preferences with adapters, in bfloat16, on two processes, and after a SIGKILL: each time the same run."""

import numpy as np
import pytest
import torch

from delt_exp.distributed.processes import launch
from delt_exp.files import read_json
from delt_exp.model.dpo import DPO
from delt_exp.model.lora import LoraNetwork
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.trainer.train import train
from tests.helpers import make_pool, new_folder, tiny_recipe
from tests.trainer.test_preferences import ANSWERS, bare_loop, log_probability, pair_job, pair_loop
from tests.trainer.test_train import interrupted, killed_at_a_checkpoint, losses, train_ranks, trained, weights

pytestmark = pytest.mark.slow

BF16 = {"precision": "bf16-mixed"}


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return make_pool(tmp_path_factory.mktemp("preference runs"), ANSWERS)


def check_verified(folder):
    result = read_json(folder / "result.json")
    assert (result["order_verified"], result["order_mismatch"]) == (True, "")


def check_same_bits(found, expected):
    """Equal weights, and records of what both sides of every pair were and how they entered the gradient."""
    for name in ("model/model.safetensors", "consumed.npy"):
        assert (found / name).read_bytes() == (expected / name).read_bytes(), name
    check_verified(found)


class TestAdapters:
    @staticmethod
    def job(pool, reference, **trainer):
        pytest.importorskip("peft")
        network = LoraNetwork(tiny_recipe().network, 2, 8.0, 0.0, ["q_proj", "v_proj"])
        objective = DPO(beta=0.5, label_smoothing=0.1, length="sum", reference=reference)
        return pair_job(pool, objective, network=network, **trainer)

    def test_training_equals_a_loop_that_switches_the_adapters_off(self, pool, tmp_path):
        job = self.job(pool, "adapters_off")
        folder = trained(tmp_path, job)
        check_verified(folder)
        network, expected = adapter_loop(job)
        np.testing.assert_allclose(losses(folder), expected, rtol=1e-5)
        assert expected[0] == pytest.approx(np.log(2), rel=1e-6)
        assert max(expected) - min(expected) > 0.05
        ids, merged = torch.arange(16)[None], load_causal_lm(str(folder / "model"))
        torch.testing.assert_close(merged(input_ids=ids).logits, network(input_ids=ids).logits, rtol=1e-3, atol=1e-3)

    def test_the_start_is_the_same_reference(self, pool, tmp_path):
        folders = [trained(tmp_path, self.job(pool, name)) for name in ("adapters_off", "start")]
        check_same_bits(*folders)

    def test_resuming_gives_the_same_bits(self, pool, tmp_path, monkeypatch):
        job = self.job(pool, "adapters_off", checkpoint_steps=3)
        undisturbed, folder = trained(tmp_path, job), new_folder(tmp_path)
        interrupted(job, folder, monkeypatch, 5)
        train(job, folder)
        check_same_bits(folder, undisturbed)


def adapter_loop(job):
    """The definition: the reference is what the same network says without its adapters, asked anew at every step."""
    network = job.recipe.make_network(job.tokenizer, job.seed)

    def reference(side):
        with network.disable_adapter():
            return log_probability(network, side)

    return pair_loop(job, network, reference)


class TestBfloat16:
    def test_the_reference_is_read_in_the_same_arithmetic(self, pool, tmp_path):
        """The first loss would not be log 2 with a reference in float32; later ones stay near those of float32."""
        exact, rounded = (trained(tmp_path, pair_job(pool, **precision)) for precision in ({}, BF16))
        check_verified(rounded)
        assert losses(rounded)[0] == pytest.approx(np.log(2), rel=1e-6)
        assert losses(rounded) != losses(exact)
        np.testing.assert_allclose(losses(rounded), losses(exact), rtol=0.05)

    def test_resuming_gives_the_same_bits(self, pool, tmp_path, monkeypatch):
        job = pair_job(pool, checkpoint_steps=3, **BF16)
        undisturbed, folder = trained(tmp_path, job), new_folder(tmp_path)
        interrupted(job, folder, monkeypatch, 5)
        train(job, folder)
        check_same_bits(folder, undisturbed)


def test_kill_minus_nine_and_repeat_gives_the_same_bits(pool, tmp_path):
    job = pair_job(pool, checkpoint_steps=3)
    folder = killed_at_a_checkpoint(job, tmp_path)
    train(job, folder)
    check_same_bits(folder, trained(tmp_path, job))


@pytest.fixture(scope="module")
def on_two(pool, tmp_path_factory):
    """Folders of runs on two processes; a batch of four pairs is four items on each, the last one of one pair two."""
    two = {"devices": 2, "micro_batch_items": 2}
    jobs = {strategy: pair_job(pool, strategy=strategy, **two) for strategy in ("ddp", "fsdp")}
    jobs["fsdp in bfloat16"] = pair_job(pool, strategy="fsdp", **two, **BF16)
    resuming = pair_job(pool, strategy="fsdp", checkpoint_steps=3, **two)
    folders = {name: new_folder(tmp_path_factory.mktemp("two")) for name in (*jobs, "resumed")}
    runs = [(job, folders[name], None) for name, job in jobs.items()]
    launch(train_ranks, ([*runs, (resuming, folders["resumed"], 4), (resuming, folders["resumed"], None)],), 2)
    return folders


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_train_the_model_of_one(pool, on_two, tmp_path, strategy):
    folder, job = on_two[strategy], pair_job(pool)
    check_verified(folder)
    network, expected = bare_loop(job)
    np.testing.assert_allclose(losses(folder), expected, rtol=1e-5)
    np.testing.assert_allclose(losses(folder), losses(trained(tmp_path, job)), rtol=1e-5)
    for name, value in weights(folder).items():
        torch.testing.assert_close(value, network.state_dict()[name], rtol=1e-3, atol=1e-4)


def test_two_sharded_processes_that_were_interrupted_give_the_same_bits(on_two):
    check_same_bits(on_two["resumed"], on_two["fsdp"])


def test_two_sharded_processes_in_bfloat16_train_as_one(pool, on_two, tmp_path):
    folder = on_two["fsdp in bfloat16"]
    check_verified(folder)
    np.testing.assert_allclose(losses(folder), losses(trained(tmp_path, pair_job(pool, **BF16))), rtol=2e-3)
