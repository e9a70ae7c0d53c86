"""Sharded training is the training of one process: any architecture, and with checkpoints that any trainer reads."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from delt_exp.distributed.processes import launch
from delt_exp.errors import ConfigError
from delt_exp.files import read_json
from delt_exp.model.fresh import FreshNetwork
from delt_exp.trainer.fsdp import shard
from delt_exp.trainer.metrics_file import MetricsFile
from delt_exp.trainer.train import _latest_checkpoint, train
from tests.helpers import TRAINER, make_pool, new_folder, tiny_recipe, words
from tests.trainer.test_train import interrupted, job_of, losses, train_ranks, trained, weights

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64}
LLAMA_LIKE = SIZES | {"intermediate_size": 32, "num_key_value_heads": 2}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
NETWORKS = {
    "llama": ("llama", LLAMA_LIKE | {"tie_word_embeddings": True}),
    "mistral": ("mistral", LLAMA_LIKE | {"tie_word_embeddings": False}),
    "qwen3": ("qwen3", LLAMA_LIKE | {"head_dim": 8, "tie_word_embeddings": True}),
    "gpt_neox": ("gpt_neox", SIZES | {"intermediate_size": 32}),
    "gpt2": ("gpt2", {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64} | NO_DROPOUT),
}
SETTINGS = {"padded": {"layout": "padded"}, "recomputing": {"gradient_checkpointing": True}}
pytestmark = pytest.mark.slow
CASES = [*NETWORKS, *SETTINGS]
BF16 = {"precision": "bf16-mixed"}
TWO = {"strategy": "fsdp", "devices": 2, "micro_batch_items": 2}


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return make_pool(tmp_path_factory.mktemp("fsdp"), words(16))


def case_of(pool, name, **trainer):
    network = FreshNetwork(*NETWORKS.get(name, NETWORKS["llama"]))
    return job_of(pool, recipe=tiny_recipe(network=network), **(SETTINGS.get(name, {}) | trainer))


@pytest.fixture(scope="module")
def sharded(pool, tmp_path_factory):
    """Folders of trainings on two processes: every case, interrupted and resumed ones, one that continues a single."""
    parent = tmp_path_factory.mktemp("folders")
    others = ("bf16", "interrupted", "continued", "resumed")
    folders = {name: new_folder(parent) for name in (*CASES, *others)}
    jobs = [(case_of(pool, name, **TWO), folders[name], None) for name in CASES]
    jobs.append((job_of(pool, **BF16, **TWO), folders["bf16"], None))
    with pytest.MonkeyPatch.context() as patch:
        interrupted(job_of(pool, checkpoint_steps=2), folders["continued"], patch, 3)
    MetricsFile(folders["continued"] / "metrics.csv").keep_up_to(2)
    restarting = job_of(pool, checkpoint_steps=2, **TWO)
    jobs += [(restarting, folders["interrupted"], 3), (restarting, folders["continued"], None)]
    resuming = case_of(pool, "llama", checkpoint_steps=2, **TWO)
    jobs += [(resuming, folders["resumed"], 3), (resuming, folders["resumed"], None)]
    launch(train_ranks, (jobs,), 2)
    return folders


def gradient_norms(folder):
    return [row["train/grad_norm"] for row in MetricsFile(folder / "metrics.csv").rows()]


def check_same_training(found, expected):
    assert read_json(found / "result.json")["order_verified"] is True
    np.testing.assert_allclose(losses(found), losses(expected), rtol=1e-5)
    assert list(weights(found)) == list(weights(expected))
    for name, value in weights(expected).items():
        torch.testing.assert_close(weights(found)[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_the_model_of_one(pool, sharded, tmp_path, name):
    """A global batch of 8 in two steps of accumulation; matrices of 257 rows do not divide by two."""
    single, two = trained(tmp_path, case_of(pool, name)), sharded[name]
    check_same_training(two, single)
    np.testing.assert_allclose(gradient_norms(two), gradient_norms(single), rtol=1e-5)
    own = {"world_size", "seconds_since_restart", "final_train_loss"}
    results = [{k: v for k, v in read_json(folder / "result.json").items() if k not in own} for folder in (two, single)]
    assert results[0] == results[1]
    assert read_json(two / "result.json")["world_size"] == 2
    files = [{f.name: f.read_bytes() for f in (d / "model").iterdir() if f.suffix == ".json"} for d in (two, single)]
    assert files[0] == files[1]


def test_bf16_means_what_it_means_on_one_process(pool, sharded, tmp_path):
    """The first loss, before rounding has moved any weight, tells the arithmetic."""
    exact, rounded = (losses(trained(tmp_path, job_of(pool, **settings))) for settings in ({}, BF16))
    found = losses(sharded["bf16"])
    assert found[0] == pytest.approx(rounded[0], rel=1e-6)
    assert exact[0] != pytest.approx(rounded[0], rel=1e-6)
    np.testing.assert_allclose(found, rounded, rtol=1e-4)


def test_one_process_continues_what_two_sharded_ones_began(pool, sharded, tmp_path):
    folder = sharded["interrupted"]
    assert _latest_checkpoint(folder).name == "step-2.ckpt"
    train(job_of(pool, checkpoint_steps=2), folder)
    check_same_training(folder, trained(tmp_path, job_of(pool)))


def test_two_sharded_processes_continue_what_one_began(pool, sharded, tmp_path):
    check_same_training(sharded["continued"], trained(tmp_path, job_of(pool)))


def test_two_sharded_processes_that_were_interrupted_give_the_same_bits(sharded):
    resumed, whole = ((sharded[name] / "model" / "model.safetensors").read_bytes() for name in ("resumed", "llama"))
    assert resumed == whole


def test_a_network_that_names_no_blocks_is_refused():
    network = nn.Linear(2, 2)
    network._no_split_modules = None
    with pytest.raises(ConfigError, match="Linear names none; use trainer=ddp"):
        shard(network, None)


def test_scaled_half_precision_is_refused():
    with pytest.raises(ConfigError, match="16-mixed does not go with trainer=fsdp; use bf16-mixed"):
        replace(TRAINER, strategy="fsdp", devices=2, precision="16-mixed")
