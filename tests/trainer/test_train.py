"""Training plays the plan exactly: any number of processes, any micro-batch, any layout, and after a kill."""

import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from delt_exp.dataset.base import Document
from delt_exp.distributed.processes import launch
from delt_exp.errors import ConfigError, DataError, DeltError
from delt_exp.files import read_json
from delt_exp.model.fresh import FreshNetwork
from delt_exp.trainer.callbacks import StepLog
from delt_exp.trainer.job import TrainJob, plan_for
from delt_exp.trainer.metrics_file import MetricsFile
from delt_exp.trainer.planning import PlanSettings
from delt_exp.trainer.stage import training_inputs
from delt_exp.trainer.train import _latest_checkpoint, _train_rank, train
from tests.helpers import TRAINER, make_pool, new_folder, tiny_recipe, words
from tests.processes import start


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    pairs = [Document(text, prompt="q: " + text[:3]) for text in words(6, seed=5)]
    return make_pool(tmp_path_factory.mktemp("train"), [*words(60), *pairs])


def job_of(pool, *, layout="packed", completion_only=False, recipe=None, **trainer):
    recipe = recipe or tiny_recipe()
    order = np.random.default_rng(3).permutation(len(pool.candidates))
    settings = PlanSettings(layout=layout, epochs=1, max_tokens=None, completion_only=completion_only)
    plan = plan_for(recipe, pool.candidates.tokens, order, settings)
    trainer_settings = replace(TRAINER, **({"micro_batch_items": 8, "log_steps": 1} | trainer))
    return TrainJob(recipe, plan, pool.resources.tokenizer, trainer_settings, seed=0)


def trained(tmp_path, job):
    folder = new_folder(tmp_path)
    train(job, folder)
    return folder


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


def losses(folder):
    return [row["train/loss"] for row in MetricsFile(folder / "metrics.csv").rows()]


def bare_loop(job):
    """The same training as a plain PyTorch loop over whole global batches: the obvious definition."""
    recipe, plan = job.recipe, job.plan
    network = recipe.make_network(job.tokenizer, job.seed)
    optimizer = recipe.optimizer.make(network)
    recorded = []
    for step in range(plan.num_steps):
        items = [
            plan.item(i) for i in range(step * plan.batch_items, min((step + 1) * plan.batch_items, plan.num_items))
        ]
        optimizer.zero_grad()
        total = 0.0
        count = sum(int((item.labels != -100).sum()) for item in items)
        for item in items:
            logits = network(input_ids=torch.from_numpy(item.inputs)[None]).logits[0]
            loss = cross_entropy(logits, torch.from_numpy(item.labels), reduction="sum") / count
            loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = recipe.optimizer.lr * recipe.schedule.factor(step, plan.num_steps)
        optimizer.step()
        recorded.append(total)
    return network, recorded


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("completion_only", [False, True])
def test_training_equals_a_bare_loop_over_global_batches(pool, tmp_path, layout, completion_only):
    job = job_of(pool, layout=layout, completion_only=completion_only, micro_batch_items=3)
    folder = trained(tmp_path, job)
    network, expected = bare_loop(job)
    np.testing.assert_allclose(losses(folder), expected, rtol=1e-5)
    for name, value in network.state_dict().items():
        if name in weights(folder):
            torch.testing.assert_close(weights(folder)[name], value, rtol=1e-3, atol=2e-5)
    assert read_json(folder / "result.json")["order_verified"] is True


@pytest.mark.slow
@pytest.mark.parametrize("micro_batch_items", [1, 3, 8, 50])
def test_loss_does_not_depend_on_accumulation(pool, tmp_path, micro_batch_items):
    base = losses(trained(tmp_path, job_of(pool)))
    other = losses(trained(tmp_path, job_of(pool, micro_batch_items=micro_batch_items)))
    np.testing.assert_allclose(other, base, rtol=1e-5)


@pytest.mark.slow
def test_several_processes_consume_the_plan_with_the_same_loss(pool, tmp_path):
    """Four; two are those that resume and are killed below."""
    folders = {layout: new_folder(tmp_path) for layout in ("packed", "padded")}
    settings = {"strategy": "ddp", "devices": 4, "micro_batch_items": 1}
    jobs = [(job_of(pool, layout=layout, **settings), folder, None) for layout, folder in folders.items()]
    launch(train_ranks, (jobs,), 4)
    for layout, several in folders.items():
        single, result = trained(tmp_path, job_of(pool, layout=layout)), read_json(several / "result.json")
        assert (result["world_size"], result["order_verified"]) == (4, True)
        np.testing.assert_allclose(losses(several), losses(single), rtol=1e-4)
        for name, value in weights(single).items():
            torch.testing.assert_close(weights(several)[name], value, rtol=1e-2, atol=1e-3)


@pytest.mark.slow
def test_a_job_for_other_machines_has_the_precision_that_names_its_result(pool, monkeypatch):
    """They would read `auto` for themselves, with and without a GPU."""
    job = job_of(pool, precision="auto")
    monkeypatch.setattr(type(job.trainer), "resolved_precision", lambda settings: "bf16-mixed")
    assert training_inputs(job)["precision"] == job.unloaded().trainer.precision == "bf16-mixed"


@pytest.mark.slow
def test_reader_processes_change_nothing(pool, tmp_path):
    plain, workers = (trained(tmp_path, job_of(pool, num_workers=n)) for n in (0, 2))
    assert (plain / "model" / "model.safetensors").read_bytes() == (
        workers / "model" / "model.safetensors"
    ).read_bytes()


@pytest.mark.slow
def test_recomputing_activations_changes_nothing(pool, tmp_path):
    kept, recomputed = (trained(tmp_path, job_of(pool, gradient_checkpointing=flag)) for flag in (False, True))
    assert losses(kept) == losses(recomputed)


def test_the_model_loads_with_transformers_and_speaks_its_tokenizer(pool, tmp_path):
    folder = trained(tmp_path, job_of(pool))
    network = AutoModelForCausalLM.from_pretrained(folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    assert network.config.vocab_size == pool.resources.tokenizer.vocab_size
    assert tokenizer("fold")["input_ids"] == pool.resources.tokenizer.encode(["fold"])[0]


def test_metrics_reach_the_listener_line_by_line(pool, tmp_path):
    rows, folder = [], new_folder(tmp_path)
    train(job_of(pool), folder, rows.append)
    assert rows == MetricsFile(folder / "metrics.csv").rows()
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    assert rows[-1]["tokens"] == read_json(folder / "result.json")["tokens"]


def test_every_sequence_is_recorded_with_its_documents(pool, tmp_path):
    job = job_of(pool)
    consumed = np.load(trained(tmp_path, job) / "consumed.npy", allow_pickle=False)
    for i, record in enumerate(consumed):
        item = job.plan.item(i)
        assert (record["step"], record["slot"]) == divmod(i, job.plan.batch_items)
        assert (record["first"], record["last"]) == (item.first, item.last)


def test_warm_up_longer_than_training_is_refused_before_any_step(pool, tmp_path):
    recipe = tiny_recipe()
    recipe = replace(recipe, schedule=replace(recipe.schedule, warmup_steps=2000))
    with pytest.raises(ConfigError, match="2000 warm-up steps do not fit"):
        train(job_of(pool, recipe=recipe), new_folder(tmp_path))


def test_context_beyond_the_position_limit_is_refused(pool, tmp_path):
    with pytest.raises(ConfigError, match=r"context_tokens is 128, but this model has 64 positions"):
        train(job_of(pool, recipe=tiny_recipe(context_tokens=128, batch_items=2)), new_folder(tmp_path))


def test_a_misspelt_network_setting_is_refused(pool):
    with pytest.raises(ConfigError, match="hiden_size is not a setting of a llama"):
        FreshNetwork("llama", {"hiden_size": 8}).make(pool.resources.tokenizer, 0)


class KilledError(Exception):
    pass


def interrupt_at(step):
    def on_batch_end(self, trainer, *arguments):
        if trainer.global_step == step:
            raise KilledError

    return on_batch_end


def train_ranks(jobs):
    """What each of several processes does: train one job after the other, which saves starting them again.

    jobs: (job, folder, step at which it is interrupted or None).
    """
    for job, folder, stop_step in jobs:
        with pytest.MonkeyPatch.context() as patch:
            if stop_step:
                patch.setattr(StepLog, "on_train_batch_start", interrupt_at(stop_step), raising=False)
            try:
                _train_rank(job, folder, _latest_checkpoint(folder))
            except KilledError:
                assert stop_step


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 5, 7, 8, 12])
def test_resuming_gives_the_same_bits(pool, tmp_path, monkeypatch, step):
    """Interrupted before, at and after checkpoints (every 4 steps), with dropout, the weights stay the same."""
    config = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}  # GPT-2 has dropout 0.1 by default
    job = job_of(
        pool, recipe=tiny_recipe(network=FreshNetwork("gpt2", config)), checkpoint_steps=4, micro_batch_items=3
    )
    undisturbed, folder = trained(tmp_path, job), new_folder(tmp_path)
    interrupted(job, folder, monkeypatch, step)
    train(job, folder)
    assert (folder / "model" / "model.safetensors").read_bytes() == (
        undisturbed / "model" / "model.safetensors"
    ).read_bytes()
    assert losses(folder) == losses(undisturbed)
    assert read_json(folder / "result.json")["order_verified"] is True


def interrupted(job, folder, monkeypatch, step):
    with monkeypatch.context() as patch:
        patch.setattr("delt_exp.trainer.callbacks.StepLog.on_train_batch_start", interrupt_at(step), raising=False)
        with pytest.raises(KilledError):
            train(job, folder)


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(8, 3), (3, 4), (2, 8), (8, 1)])
def test_resuming_with_another_micro_batch_plays_the_same_plan(pool, tmp_path, monkeypatch, before, after):
    folder = new_folder(tmp_path)
    interrupted(job_of(pool, checkpoint_steps=3, micro_batch_items=before), folder, monkeypatch, 7)
    train(job_of(pool, checkpoint_steps=3, micro_batch_items=after), folder)
    assert read_json(folder / "result.json")["order_verified"] is True
    np.testing.assert_allclose(losses(folder), losses(trained(tmp_path, job_of(pool))), rtol=1e-4)


@pytest.mark.slow
def test_resuming_on_another_number_of_processes_plays_the_same_plan(pool, tmp_path, monkeypatch):
    folder = new_folder(tmp_path)
    interrupted(job_of(pool, checkpoint_steps=3), folder, monkeypatch, 7)
    train(job_of(pool, checkpoint_steps=3, strategy="ddp", devices=2, micro_batch_items=2), folder)
    assert read_json(folder / "result.json")["order_verified"] is True
    np.testing.assert_allclose(losses(folder), losses(trained(tmp_path, job_of(pool))), rtol=1e-4)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_reported_and_not_used(pool, tmp_path, monkeypatch, capsys):
    folder, job = new_folder(tmp_path), job_of(pool, checkpoint_steps=3)
    interrupted(job, folder, monkeypatch, 7)
    (checkpoint,) = (folder / "checkpoints").glob("*.ckpt")
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    train(job, folder)
    assert "step-6.ckpt is damaged" in capsys.readouterr().err
    assert losses(folder) == losses(trained(tmp_path, job))


@pytest.mark.slow
def test_a_checkpoint_in_place_of_a_damaged_one_is_sound(pool, tmp_path, monkeypatch):
    """Both are of step 6, the first that is kept; the checksum of the damaged one is still there."""
    folder, job = new_folder(tmp_path), job_of(pool, checkpoint_steps=6)
    interrupted(job, folder, monkeypatch, 7)
    (checkpoint,) = (folder / "checkpoints").glob("*.ckpt")
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    interrupted(job, folder, monkeypatch, 7)
    assert _latest_checkpoint(folder) == checkpoint


def test_a_kill_after_the_last_step_loses_nothing(pool, tmp_path, monkeypatch):
    folder, job = new_folder(tmp_path), job_of(pool, checkpoint_steps=3)
    with monkeypatch.context() as patch:
        patch.setattr("delt_exp.trainer.train._clean_up", lambda folder: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            train(job, folder)
    monkeypatch.setattr("delt_exp.trainer.train._train_rank", lambda *_: pytest.fail("trained again"))
    rows = []
    train(job, folder, rows.append)
    assert rows == MetricsFile(folder / "metrics.csv").rows()
    assert len(rows) == job.plan.num_steps
    assert not (folder / "checkpoints").exists()
    assert read_json(folder / "result.json")["order_verified"] is True


@pytest.mark.slow
def test_a_failing_process_ends_all_with_its_message(pool, tmp_path):
    recipe = tiny_recipe(network=FreshNetwork("llama", {"hiden_size": 8, "max_position_embeddings": 64}))
    with pytest.raises(DeltError, match=r"process \d of 2 failed: ConfigError: .*hiden_size is not a setting"):
        train(job_of(pool, recipe=recipe, strategy="ddp", devices=2), new_folder(tmp_path))


def test_a_batch_with_nothing_to_predict_is_refused(tmp_path):
    pool = make_pool(tmp_path, [Document("answer", prompt="q" * 400), *words(20)])
    recipe, settings = tiny_recipe(), PlanSettings("packed", epochs=1, max_tokens=None, completion_only=True)
    with pytest.raises(DataError, match=r"step 1 of \d+ has nothing to predict: the prompt of document 0 fills it"):
        plan_for(recipe, pool.candidates.tokens, np.arange(21), settings)


def killed_at_a_checkpoint(job, tmp_path):
    """Train in a process of its own, killed by SIGKILL as soon as there is a checkpoint; return the folder."""
    folder = new_folder(tmp_path)
    process = start(train, job, folder)
    while not list((folder / "checkpoints").glob("step-*.ckpt")):
        assert process.is_alive()
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.join()
    assert not (folder / "result.json").exists()
    return folder


@pytest.mark.slow
def test_kill_minus_nine_and_repeat_gives_the_same_bits(pool, tmp_path):
    """Two processes; a training of one is killed in the test of the pipeline."""
    recipe = tiny_recipe(context_tokens=4)
    job = job_of(pool, recipe=recipe, checkpoint_steps=3, strategy="ddp", devices=2, micro_batch_items=4)
    folder = killed_at_a_checkpoint(job, tmp_path)
    train(job, folder)
    undisturbed = trained(tmp_path, job)
    assert (folder / "model" / "model.safetensors").read_bytes() == (
        undisturbed / "model" / "model.safetensors"
    ).read_bytes()
    assert read_json(folder / "result.json")["order_verified"] is True


def test_more_gpus_than_are_visible_are_refused_before_anything_is_scored(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    replace(TRAINER, accelerator="auto", strategy="ddp", devices=2).check_available()
    with pytest.raises(ConfigError, match=r"accelerator=auto with trainer.devices=8, but 2 GPUs are visible"):
        replace(TRAINER, accelerator="auto", strategy="ddp", devices=8).check_available()
