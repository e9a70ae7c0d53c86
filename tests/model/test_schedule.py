"""Learning rates by hand, and that a training run has those of its schedule, whichever it is."""

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.files import read_json
from delt_exp.model.schedule import WarmupConstant, WarmupCosine, WarmupLinear, WarmupStableDecay
from delt_exp.trainer.metrics_file import MetricsFile
from tests.helpers import make_pool, tiny_recipe, words
from tests.trainer.test_train import job_of, trained


def factors(schedule, num_steps):
    return [schedule.factor(step, num_steps) for step in range(num_steps)]


def test_two_steps_of_warm_up_then_a_line_from_the_peak_to_its_share():
    schedule = WarmupLinear(warmup_steps=2, warmup_ratio=None, min_ratio=0.2)
    assert factors(schedule, 7) == pytest.approx([1 / 3, 2 / 3, 1.0, 0.8, 0.6, 0.4, 0.2])


def test_a_quarter_of_warm_up_then_half_a_cosine():
    schedule = WarmupCosine(warmup_steps=None, warmup_ratio=0.25, min_ratio=0.0)
    assert factors(schedule, 4) == pytest.approx([1 / 2, 1.0, 0.5, 0.0])


def test_after_the_warm_up_the_peak_stays():
    schedule = WarmupConstant(warmup_steps=1, warmup_ratio=None)
    assert factors(schedule, 4) == [1 / 2, 1.0, 1.0, 1.0]


def test_the_peak_stays_until_the_last_steps_go_down_to_its_share():
    schedule = WarmupStableDecay(warmup_steps=1, warmup_ratio=None, decay_ratio=0.5, min_ratio=0.2)
    assert factors(schedule, 8) == pytest.approx([1 / 2, 1.0, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2])


@pytest.mark.parametrize("num_steps", [4, 10, 997])
@pytest.mark.parametrize("floor", [0.0, 0.1, 1 / 3, 1.0])
@pytest.mark.parametrize("kind", [WarmupCosine, WarmupLinear, WarmupStableDecay])
def test_the_last_step_has_the_floor_to_the_last_digit(kind, floor, num_steps):
    of_decay = {"decay_ratio": 0.5} if kind is WarmupStableDecay else {}
    schedule = kind(warmup_steps=1, warmup_ratio=None, min_ratio=floor, **of_decay)
    assert factors(schedule, num_steps)[-1] == floor
    assert max(factors(schedule, num_steps)) == factors(schedule, num_steps)[1] == 1.0


def test_a_decay_that_leaves_no_room_for_the_warm_up_or_has_no_step_is_refused():
    for decay_ratio, steps in ((1.0, 4), (0.1, 0)):
        schedule = WarmupStableDecay(warmup_steps=1, warmup_ratio=None, decay_ratio=decay_ratio, min_ratio=0.0)
        with pytest.raises(ConfigError, match=rf"{steps} steps of decay .* of 4 steps.*change model.schedule.decay_r"):
            schedule.check(4)


@pytest.mark.parametrize("kind", [WarmupCosine, WarmupLinear])
def test_a_warm_up_that_leaves_no_step_is_refused_with_a_cure(kind):
    with pytest.raises(ConfigError, match=r"5 warm-up steps do not fit a training run of 5 steps; .*warmup_ratio=0.1"):
        kind(warmup_steps=5, warmup_ratio=None, min_ratio=0.0).check(5)


def test_training_has_the_rates_of_its_schedule_and_the_proof_expects_them(tmp_path):
    schedule = WarmupLinear(warmup_steps=1, warmup_ratio=None, min_ratio=0.0)
    job = job_of(make_pool(tmp_path, words(60)), recipe=tiny_recipe(schedule=schedule))
    folder, num_steps = trained(tmp_path, job), job.plan.num_steps
    expected = [0.005, *(0.01 * (num_steps - 1 - step) / (num_steps - 2) for step in range(1, num_steps))]
    found = [row["train/lr"] for row in MetricsFile(folder / "metrics.csv").rows()]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(np.load(folder / "steps.npy")["lr"], expected, atol=1e-12)
    assert read_json(folder / "result.json")["order_mismatch"] == ""
