"""Training stops at the step whose numbers are no longer finite, with the cure, on every strategy."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from delt_exp.distributed.processes import launch
from delt_exp.errors import DeltError, DivergedError
from delt_exp.eval_dataset.base import Measure
from delt_exp.eval_dataset.evaluation import write_measures
from delt_exp.files import write_json
from delt_exp.proxy.trained import TrainedProxy
from delt_exp.trainer.divergence import diverged
from delt_exp.trainer.job import TrainJob, plan_for
from delt_exp.trainer.metrics_file import MetricsFile
from delt_exp.trainer.module import LMModule
from delt_exp.trainer.planning import PlanSettings
from delt_exp.trainer.train import train
from tests.helpers import TRAINER, make_pool, new_folder, tiny_recipe, words

TWO = {"devices": 2, "micro_batch_items": 4}


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return make_pool(tmp_path_factory.mktemp("divergence"), words(60))


def job_of(pool, lr=1e30, **trainer):
    recipe = tiny_recipe()
    recipe = replace(recipe, optimizer=replace(recipe.optimizer, lr=lr))
    order, settings = np.arange(len(pool.candidates)), PlanSettings("packed", 1, None, completion_only=False)
    plan = plan_for(recipe, pool.candidates.tokens, order, settings)
    return TrainJob(recipe, plan, pool.resources.tokenizer, replace(TRAINER, **trainer), seed=0)


def poisoned_at(step, rank=0):
    """Make the loss of one rank not a number at `step`, counted from 1."""
    original = LMModule.training_step

    def training_step(self, batch, batch_idx):
        loss = original(self, batch, batch_idx)
        if self.global_step == step - 1 and self.global_rank == rank:
            self.loss_sum = self.loss_sum * float("nan")
            return loss * float("nan")
        return loss

    return training_step


def poisoned_rank(job, folder, step):
    """What each of several processes does: rank 1 alone gets a loss that is not a number."""
    from delt_exp.trainer.train import _train_rank

    LMModule.training_step = poisoned_at(step, rank=1)
    _train_rank(job, folder, None)


def test_a_learning_rate_beyond_all_numbers_stops_the_run_with_its_cure(pool, tmp_path):
    """The first update takes the parameters to 1e29, where the second loss is no number."""
    folder = new_folder(tmp_path)
    with pytest.raises(
        DivergedError, match=r"at step 2 of \d+ the .* is (nan|inf); lower model.optimizer.lr \(1e\+30\)"
    ):
        train(job_of(pool), folder)
    assert not (folder / "result.json").exists()
    assert [row["step"] for row in MetricsFile(folder / "metrics.csv").rows()] == []  # a line every 10 steps


@pytest.mark.parametrize("step", [3, 7, 11])
def test_the_step_is_named_exactly_and_repeating_the_command_says_it_again(pool, tmp_path, monkeypatch, step):
    """Between checkpoints (every 4 steps) and lines of metrics (every 10); the repetition starts from a checkpoint."""
    monkeypatch.setattr(LMModule, "training_step", poisoned_at(step))
    folder, job = new_folder(tmp_path), job_of(pool, lr=1e-3, checkpoint_steps=4)
    for _ in range(2):
        with pytest.raises(DivergedError, match=f"at step {step} of"):
            train(job, folder)
        found = [int(path.stem.removeprefix("step-")) for path in (folder / "checkpoints").glob("*.ckpt")]
        assert found == [step // 4 * 4] * bool(step // 4)


def test_a_step_is_named_that_was_looked_at_later(pool, tmp_path, monkeypatch):
    """On a GPU numbers are looked at together; the message names the first bad one, not the newest."""
    monkeypatch.setattr("delt_exp.trainer.callbacks.StepLog._is_bad_at_once", lambda *_: False)
    monkeypatch.setattr(LMModule, "training_step", poisoned_at(4))
    with pytest.raises(DivergedError, match="at step 4 of"):
        train(job_of(pool, lr=1e-3), new_folder(tmp_path))


def test_no_checkpoint_is_taken_of_numbers_nobody_looked_at(pool, tmp_path, monkeypatch):
    monkeypatch.setattr("delt_exp.trainer.callbacks.StepLog._is_bad_at_once", lambda *_: False)
    monkeypatch.setattr(LMModule, "training_step", poisoned_at(4))
    folder = new_folder(tmp_path)
    with pytest.raises(DivergedError, match="at step 4 of"):
        train(job_of(pool, lr=1e-3, checkpoint_steps=3), folder)
    assert [path.name for path in (folder / "checkpoints").glob("*.ckpt")] == ["step-3.ckpt"]


def test_a_loss_that_was_never_finite_blames_the_weights(pool, tmp_path, monkeypatch):
    monkeypatch.setattr(LMModule, "training_step", poisoned_at(1))
    with pytest.raises(DivergedError, match=r"at step 1 of .* is nan; .*before any update.*model\.network"):
        train(job_of(pool, lr=1e-3), new_folder(tmp_path))


def test_weights_that_the_last_update_spoils_are_noticed(pool, tmp_path, monkeypatch):
    def spoil(self):
        with torch.no_grad():
            next(self.network.parameters())[0, :3] = float("inf")

    monkeypatch.setattr(LMModule, "on_train_epoch_end", spoil, raising=False)
    with pytest.raises(DivergedError, match="3 weights are not finite after the update"):
        train(job_of(pool, lr=1e-3), new_folder(tmp_path))


def test_weights_that_the_only_update_spoils_are_blamed_on_the_learning_rate(pool):
    error = diverged(job_of(pool), 1, "3 weights are not finite after the update", num_updates=1)
    assert "after the update; lower model.optimizer.lr (1e+30)" in str(error)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_processes_stop_together_where_one_of_them_has_a_bad_loss(pool, tmp_path, strategy):
    job, folder = job_of(pool, lr=1e-3, strategy=strategy, **TWO), new_folder(tmp_path)
    with pytest.raises(DivergedError, match=r"process \d of 2 failed: DivergedError: training diverged: at step 5 of"):
        launch(poisoned_rank, (job, folder, 5), 2)


def test_the_message_names_the_setting_of_the_model_that_diverged(pool):
    recipe = job_of(pool).recipe
    with pytest.raises(DivergedError, match=r"lower proxy\.recipe\.optimizer\.lr .* \(proxy\.recipe\.clip_norm"):
        TrainedProxy(recipe, "sample", 2_000, 0).prepare(pool.resources, pool.candidates)


def test_a_measure_that_is_not_finite_is_an_error_with_its_name(tmp_path):
    measures = [
        Measure("task", "loss", 800.0, None, 3, "nats", "lower"),
        Measure("task", "perplexity", float("inf"), None, 3, "per token", "lower"),
    ]
    with pytest.raises(DivergedError, match=r"perplexity on suite/task is inf \(loss 800, perplexity inf\)"):
        write_measures(tmp_path, "suite", measures)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_names_the_place_of_a_number_that_is_not_finite(tmp_path, value):
    with pytest.raises(DeltError, match=r"record\.json: results\.1\.value is (nan|inf)"):
        write_json(tmp_path / "record.json", {"results": [{"value": 1.0}, {"value": value}]})
    write_json(tmp_path / "record.json", {"results": [{"value": None}]})
    assert json.loads((tmp_path / "record.json").read_text()) == {"results": [{"value": None}]}
