"""The states of a training run: those asked for, with Adam's moments, on every strategy and after a kill."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from delt_exp.distributed.processes import launch
from delt_exp.errors import ConfigError
from delt_exp.files import read_json
from delt_exp.model.optimizer import SGD
from delt_exp.store.store import Store
from delt_exp.trainer.states import KeptStates
from delt_exp.trainer.train import _latest_checkpoint, _train_rank
from delt_exp.trainer.trajectory import trajectory_stage
from tests.helpers import make_pool, new_folder, tiny_recipe, words
from tests.trainer.test_train import KilledError, bare_loop, interrupt_at, job_of, trained

LAST = 6


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return make_pool(tmp_path_factory.mktemp("trajectory"), words(24))


def new_store(tmp_path):
    return Store(new_folder(tmp_path), verify="hash")


def bytes_of(checkpoint):
    return [(checkpoint.folder / name).read_bytes() for name in ("model.safetensors", "moments.safetensors")]


def first_steps(job, num_updates):
    """The network and its optimizer after `num_updates` updates of a plain loop."""
    shorter = replace(job, plan=replace(job.plan, num_items=num_updates * job.plan.batch_items))
    optimizers, make = [], job.recipe.optimizer.make
    recipe = replace(job.recipe, schedule=Whole(job.recipe.schedule, job.plan.num_steps))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(recipe.optimizer), "make", lambda self, net: optimizers.append(make(net)) or optimizers[0])
        network, _ = bare_loop(replace(shorter, recipe=recipe))
    return network, optimizers[0]


class Whole:
    """The beginning of a longer schedule."""

    def __init__(self, schedule, num_steps):
        self.schedule, self.num_steps = schedule, num_steps

    def factor(self, step, _):
        return self.schedule.factor(step, self.num_steps)


@pytest.mark.slow
def test_the_states_asked_for_are_there_and_the_last_is_the_trained_model(pool, tmp_path):
    job = job_of(pool)
    assert job.plan.num_steps == LAST
    first, middle, last = trajectory_stage(new_store(tmp_path), job, [LAST, 3, 0, 3])
    assert [state.step for state in (first, middle, last)] == [0, 3, LAST]
    assert [state.lr for state in (first, middle, last)] == [0.0, job.recipe.lr(2, LAST), job.recipe.lr(5, LAST)]
    assert sorted(folder.name for folder in first.folder.parent.iterdir()) == ["step-0", "step-3", f"step-{LAST}"]
    initial = job.recipe.make_network(job.tokenizer, job.seed)
    for name, value in first.network().state_dict().items():
        assert torch.equal(value, initial.state_dict()[name])
    folder = trained(tmp_path, job)
    assert (last.folder / "model.safetensors").read_bytes() == (folder / "model" / "model.safetensors").read_bytes()
    assert read_json(last.folder.parents[1] / "result.json")["order_verified"] is True


def test_moments_are_those_of_the_optimizer_of_a_plain_loop_by_name(pool, tmp_path):
    job = job_of(pool)
    (state,) = trajectory_stage(new_store(tmp_path), job, [3])
    network, optimizer = first_steps(job, 3)
    moments = state.moments()
    assert sorted(moments) == sorted(name for name, _ in network.named_parameters())
    for name, parameter in network.named_parameters():
        m, v = moments[name]
        torch.testing.assert_close(m, optimizer.state[parameter]["exp_avg"], rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(v, optimizer.state[parameter]["exp_avg_sq"], rtol=1e-3, atol=1e-9)


def test_the_first_moments_by_hand(pool, tmp_path):
    """After one update m = (1 - b1) g and v = (1 - b2) g^2 of the same clipped gradient, so v (1-b1)^2 = m^2 (1-b2)."""
    (state,) = trajectory_stage(new_store(tmp_path), job_of(pool), [1])
    for m, v in state.moments().values():
        torch.testing.assert_close(v * 0.1**2, m.square() * 0.05, rtol=1e-4, atol=1e-12)
        assert m.abs().max() > 0


@pytest.mark.slow
def test_without_adam_and_before_the_first_update_there_are_no_moments(pool, tmp_path):
    descent = tiny_recipe(optimizer=SGD(lr=0.1, momentum=0.0, weight_decay=0.0))
    (plain,) = trajectory_stage(new_store(tmp_path), job_of(pool, recipe=descent), [2])
    (untrained,) = trajectory_stage(new_store(tmp_path), job_of(pool), [0])
    assert (plain.moments(), untrained.moments()) == ({}, {})


@pytest.mark.parametrize("steps", [[LAST + 1], [-1, 2], []])
def test_a_step_beyond_the_plan_is_refused_before_training(pool, tmp_path, steps):
    store = new_store(tmp_path)
    with pytest.raises(ConfigError, match=rf"has the steps 0 \(before the first update\) to {LAST}"):
        trajectory_stage(store, job_of(pool), steps)
    assert store.uses == []


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 4, 5])
def test_states_after_a_kill_have_the_same_bits(pool, tmp_path, monkeypatch, step):
    """Checkpoints every 3 steps; the kill comes before, after a state and right after a checkpoint."""
    job, keep = job_of(pool, checkpoint_steps=3), [0, 2, 3, 4, LAST]
    undisturbed, store = trajectory_stage(new_store(tmp_path), job, keep), new_store(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(KeptStates, "on_train_batch_start", interrupt_at(step), raising=False)
        with pytest.raises(KilledError):
            trajectory_stage(store, job, keep)
    continued = trajectory_stage(store, job, keep)
    assert [bytes_of(state) for state in continued] == [bytes_of(state) for state in undisturbed]


def test_a_second_call_finds_the_states(pool, tmp_path, monkeypatch):
    store = new_store(tmp_path)
    once = trajectory_stage(store, job_of(pool), [2])
    monkeypatch.setattr("delt_exp.trainer.trajectory.train", lambda *_, **__: pytest.fail("trained again"))
    assert trajectory_stage(store, job_of(pool), [2, 2]) == once


def keeping_ranks(jobs):
    for job, folder in jobs:
        _train_rank(job, folder, _latest_checkpoint(folder), [0, 3])


@pytest.mark.slow
def test_several_processes_keep_whole_states_also_of_shards(pool, tmp_path):
    (_, single) = trajectory_stage(new_store(tmp_path), job_of(pool), [0, 3])
    folders = {strategy: new_folder(tmp_path) for strategy in ("ddp", "fsdp")}
    settings = {"devices": 2, "micro_batch_items": 2}
    jobs = [(job_of(pool, strategy=strategy, **settings), folder) for strategy, folder in folders.items()]
    launch(keeping_ranks, (jobs,), 2)
    for folder in folders.values():
        for name in ("model.safetensors", "moments.safetensors"):
            expected, found = load_file(single.folder / name), load_file(folder / "states" / "step-3" / name)
            assert list(found) == list(expected)
            for key, value in expected.items():
                torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-5)
