"""LoRA networks: only adapters change, the merged model is the adapted one, and the run is verified and resumable."""

import pytest
import torch
from safetensors.torch import load_file

from delt_exp.distributed.processes import launch
from delt_exp.errors import ConfigError
from delt_exp.files import read_json
from delt_exp.model.fresh import FreshNetwork
from delt_exp.model.lora import Adapters, LoraNetwork
from delt_exp.model.lora import adapted as with_adapters
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.store.store import Store
from delt_exp.trainer.train import train
from delt_exp.trainer.trajectory import trajectory_stage
from tests.helpers import make_pool, new_folder, tiny_recipe, words
from tests.trainer.test_train import interrupted, job_of, train_ranks, trained

GPT2 = FreshNetwork("gpt2", {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64})


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return make_pool(tmp_path_factory.mktemp("lora"), words(24))


ADAPTERS = Adapters(rank=2, alpha=4.0, dropout=0.1, targets=["q_proj", "v_proj"])


def lora_recipe(base=None, targets=("q_proj", "v_proj"), dropout=0.1):
    return tiny_recipe(network=LoraNetwork(base or tiny_recipe().network, 2, 4.0, dropout, list(targets)))


def test_training_begins_at_the_base_and_trains_adapters_alone(pool):
    """Two layers of 16 x 16 x 2 targets, each with A [2, 16] and B [16, 2]."""
    tokenizer, ids = pool.resources.tokenizer, torch.arange(8)[None]
    network = lora_recipe().make_network(tokenizer, seed=3).eval()
    base = tiny_recipe().make_network(tokenizer, seed=3).eval()
    assert torch.equal(network(input_ids=ids).logits, base(input_ids=ids).logits)
    trained_names = [name for name, p in network.named_parameters() if p.requires_grad]
    assert all("lora_" in name for name in trained_names)
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == 2 * 2 * (2 * 16 + 16 * 2)


def test_adapters_depend_on_the_seed_and_on_nothing_else(pool):
    def first(seed):
        network = lora_recipe().make_network(pool.resources.tokenizer, seed)
        return next(p for name, p in network.named_parameters() if "lora_A" in name)

    torch.manual_seed(1)
    once = first(3)
    torch.manual_seed(2)
    assert torch.equal(first(3), once)
    assert not torch.equal(first(4), once)


@pytest.mark.slow
@pytest.mark.parametrize(("base", "targets"), [(None, ["q_proj", "v_proj"]), (GPT2, ["c_attn"])])
def test_the_merged_model_says_what_the_adapted_one_says(pool, tmp_path, base, targets):
    job = job_of(pool, recipe=lora_recipe(base, targets))
    last = job.plan.num_steps
    start, end = trajectory_stage(Store(new_folder(tmp_path), verify="hash"), job, [0, last])
    ids = torch.arange(16)[None]
    adapted, merged, before = end.network(), load_causal_lm(str(end.folder)), start.network()
    torch.testing.assert_close(merged(input_ids=ids).logits, adapted(input_ids=ids).logits, rtol=0, atol=1e-5)
    assert merged.config.tie_word_embeddings == before.config.tie_word_embeddings
    assert (adapted(input_ids=ids).logits - before(input_ids=ids).logits).abs().max() > 1e-3
    for (name, now), then in zip(adapted.named_parameters(), before.parameters(), strict=True):
        assert torch.equal(now, then) == ("lora_" not in name), name
    assert sorted(end.moments()) == sorted(name for name, p in adapted.named_parameters() if p.requires_grad)
    beside = with_adapters(str(end.folder), None, ADAPTERS, seed=9)
    for (name, found), expected in zip(beside.named_parameters(), adapted.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
        assert found.requires_grad == ("lora_" in name)
    assert not beside.training


def test_a_model_without_adapters_gets_fresh_ones_that_change_nothing(pool, tmp_path):
    state = trajectory_stage(Store(new_folder(tmp_path), verify="hash"), job_of(pool), [1])[0]
    plain = with_adapters(str(state.folder), None, None, seed=0)
    fresh = with_adapters(str(state.folder), None, ADAPTERS, seed=0)
    ids = torch.arange(16)[None]
    assert torch.equal(fresh(input_ids=ids).logits, plain(input_ids=ids).logits)
    trained_names = [name for name, p in fresh.named_parameters() if p.requires_grad]
    assert len(trained_names) == 2 * 2 * len(ADAPTERS.targets)  # A and B of each target in two layers
    assert all("lora_" in name for name in trained_names)
    assert all(p.requires_grad for p in plain.parameters())


@pytest.mark.slow
def test_the_run_is_verified_and_counts_what_it_trains(pool, tmp_path):
    job = job_of(pool, recipe=lora_recipe(), micro_batch_items=3)
    result = read_json(trained(tmp_path, job) / "result.json")
    assert (result["order_verified"], result["order_mismatch"]) == (True, "")
    assert result["trained_parameters"] == 2 * 2 * (2 * 16 + 16 * 2)
    assert result["flops"] == (4 * result["parameters"] + 2 * result["trained_parameters"]) * result["tokens"]


@pytest.mark.slow
def test_resuming_gives_the_same_bits(pool, tmp_path, monkeypatch):
    job, folder = job_of(pool, recipe=lora_recipe(), checkpoint_steps=2), new_folder(tmp_path)
    undisturbed = trained(tmp_path, job)
    interrupted(job, folder, monkeypatch, 3)
    train(job, folder)
    for name in ("model.safetensors", "adapter/adapter_model.safetensors"):
        assert (folder / "model" / name).read_bytes() == (undisturbed / "model" / name).read_bytes()


@pytest.mark.slow
def test_several_processes_train_the_adapters_of_one(pool, tmp_path):
    single = trained(tmp_path, job_of(pool, recipe=lora_recipe(dropout=0.0)))
    folders = {strategy: new_folder(tmp_path) for strategy in ("ddp", "fsdp")}
    settings = {"recipe": lora_recipe(dropout=0.0), "devices": 2, "micro_batch_items": 2}
    jobs = [(job_of(pool, strategy=strategy, **settings), folder, None) for strategy, folder in folders.items()]
    launch(train_ranks, (jobs,), 2)
    for folder in folders.values():
        assert read_json(folder / "result.json")["order_mismatch"] == ""
        for name in ("model.safetensors", "adapter/adapter_model.safetensors"):
            expected, found = load_file(single / "model" / name), load_file(folder / "model" / name)
            for key, value in expected.items():
                torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("targets", [["q_proj", "query"], []])
def test_targets_that_do_not_exist_are_refused_with_those_that_do(pool, targets):
    with pytest.raises(ConfigError, match=r"(query is not a|names no) linear layer of a Llama.*it has: .*q_proj"):
        lora_recipe(targets=targets).check(pool.resources.tokenizer)
