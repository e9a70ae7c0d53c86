"""What is a planned step and what is not, on records by hand and on schedules with steps that change nothing."""

from dataclasses import replace

import numpy as np
import pytest

from delt_exp.files import read_json
from delt_exp.model.schedule import WarmupCosine
from delt_exp.trainer.proof.steps import STEPS, PlannedSteps, step_mismatch
from tests.helpers import make_pool, tiny_recipe, words
from tests.trainer.test_train import job_of, trained

PLANNED = PlannedSteps(np.array([8, 4]), np.array([0.1, 0.2]), 1.0, False, 30, [(1, 2.0), (2, 3.0)])


def records(ranks=1, **changes):
    """Two sound steps of 8 and 4 labels; gradients of norm 2 are clipped to 1. A change is one array over records."""
    rows = np.zeros(2 * ranks, STEPS)
    rows["step"], rows["rank"] = np.repeat([0, 1], ranks), np.tile(np.arange(ranks), 2)
    rows["num_labels"], rows["loss"] = np.repeat([8, 4], ranks) // ranks, np.repeat([16.0, 12.0], ranks) / ranks
    rows["is_intact"], rows["num_updates"], rows["lr"] = True, 1, np.repeat([0.1, 0.2], ranks)
    rows["grad_norm"], rows["backward_norm"], rows["applied_norm"] = 2.0, 1.0, 0.5
    rows["before"], rows["after"] = np.repeat([10, 20], ranks), np.repeat([20, 30], ranks)
    for name, values in changes.items():
        rows[name] = values
    return rows


def test_sound_steps_are_sound_on_one_process_and_on_two():
    assert step_mismatch(PLANNED, records()) == ""
    assert step_mismatch(PLANNED, records(ranks=2)) == ""


def test_bits_of_shards_add_up_and_their_norms_in_squares():
    shards = records(
        ranks=2, is_sharded=True, before=[4, 6, 13, 7], after=[13, 7, 31, -1], backward_norm=[3, 4, 3, 4],
        applied_norm=[1.5, 2, 1.5, 2],
    )  # fmt: skip
    assert step_mismatch(PLANNED, shards) == ""
    assert "changed before the update" in step_mismatch(PLANNED, records(ranks=2, applied_norm=[0.5, 0.5, 0.4, 0.4]))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"step": [0, 0]}, "1 steps left a record, 2 were planned"),
        ({"num_labels": [8, 3]}, "step 2: its losses are not those of the planned number of labels"),
        ({"loss": [16.0, 13.0]}, "step 2: the reported loss"),
        ({"is_intact": [False, True]}, "step 1: the gradient was changed between micro-batches"),
        ({"num_updates": [1, 0]}, "step 2: not exactly one update"),
        ({"num_updates": [2, 1]}, "step 1: not exactly one update"),
        ({"lr": [0.1, 0.1]}, "step 2: the learning rate"),
        ({"applied_norm": [0.0, 0.5]}, "step 1: the gradient was changed before the update"),
        ({"backward_norm": [0.0, 1.0], "applied_norm": [0.0, 0.5], "grad_norm": [0.0, 2.0]}, "step 1: the gradient is"),
        ({"before": [10, 10], "after": [10, 30]}, "step 1: the update changed no parameter"),
        ({"before": [10, 21]}, "step 2: the parameters were changed between two updates"),
        ({"after": [20, 31]}, "the saved parameters are not those after the last update"),
    ],
)
def test_a_step_that_is_not_as_planned_is_named(changes, reason):
    assert reason in step_mismatch(PLANNED, records(**changes))


def test_processes_that_hold_different_parameters_are_noticed():
    assert "step 2: processes hold different parameters" in step_mismatch(
        PLANNED, records(ranks=2, after=[20, 20, 30, 31])
    )


def test_a_loss_scaler_may_leave_out_an_update_and_nobody_else():
    skipped = records(num_updates=[0, 1], lr=[np.nan, 0.2], applied_norm=[np.nan, 0.5], before=[20, 20])
    assert step_mismatch(replace(PLANNED, scales_loss=True), skipped) == ""
    assert "step 1: not exactly one update" in step_mismatch(PLANNED, skipped)


def test_a_model_without_any_loss_left_may_have_no_gradient():
    saturated = records(loss=0.0, grad_norm=0.0, backward_norm=0.0, applied_norm=0.0, before=[30, 30], after=30)
    assert step_mismatch(replace(PLANNED, losses=[]), saturated) == ""


@pytest.mark.slow
@pytest.mark.parametrize("clip_norm", [None, 1e-3, 1.0])
def test_a_step_at_learning_rate_0_and_any_clipping_are_no_alarm(tmp_path, clip_norm):
    """The cosine ends at 0, so the last update changes nothing."""
    schedule = WarmupCosine(warmup_steps=0, warmup_ratio=None, min_ratio=0.0)
    job = job_of(make_pool(tmp_path, words(60)), recipe=tiny_recipe(schedule=schedule, clip_norm=clip_norm))
    folder = trained(tmp_path, job)
    assert read_json(folder / "result.json")["order_mismatch"] == ""
    steps = np.load(folder / "steps.npy", allow_pickle=False)
    assert (steps["lr"][-1], steps["before"][-1]) == (0, steps["after"][-1])
