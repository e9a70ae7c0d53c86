"""When the weighting model learns, what it costs, what it refuses, and that it finds a planted half of noise."""

from dataclasses import replace

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.model.cost import FORWARD_BACKWARD, ModelSize, Sizes
from delt_exp.trainer.job import Setup
from delt_exp.trainer.planning import PlanSettings
from tests.helpers import TRAINER, make_pool, tiny_recipe
from tests.trainer.test_train import trained
from tests.weighter.dwm.test_weights import SETTINGS, given, learning_job, weighter

PADDED = PlanSettings("padded", epochs=1, max_tokens=None, completion_only=False)
LETTERS = np.array(list("abcdefgh"))


SIZES = Sizes(np.array([15, 7, 99]), 4, 1, None)  # 16, 8 and 16 of the context of 16 with the end


def setup(**trainer):
    return Setup(tiny_recipe(), PADDED, replace(TRAINER, **trainer))


def texts(count, seed, *, is_noise):
    """Letters that follow the alphabet from some beginning on, or letters at random."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(8, size=(count, 15)) if is_noise else rng.integers(8, size=(count, 1)) + np.arange(15)
    return ["".join(LETTERS[row % 8]) for row in numbers]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_noisy_half_gets_less_weight_than_the_clean_one(tmp_path, seed):
    """300 steps of 8 documents, of which about 50 teach the weighting model."""
    clean, noise = texts(1200, 10 * seed, is_noise=False), texts(1200, 10 * seed + 1, is_noise=True)
    pool = make_pool(tmp_path, [*clean, *noise], texts(32, 10 * seed + 2, is_noise=False))
    changes = {"num_stages": 5, "weighting_steps": 0.2, "validation_documents": 8, "lr": 0.01, "width": 16}
    job = learning_job(pool, changes={**changes, "seed": seed})
    weights_I, plan = given(trained(tmp_path, job), job), job.plan
    is_clean_I = plan.order[plan.document_of(np.arange(plan.num_items))] < len(clean)
    stage_I = np.arange(plan.num_items) // plan.batch_items * 5 // plan.num_steps
    assert plan.num_steps == 300
    for stage in (3, 4):
        of_clean, of_noise = (weights_I[(stage_I == stage) & which].mean() for which in (is_clean_I, ~is_clean_I))
        assert of_clean > 1.5 * of_noise, f"stage {stage}: {of_clean} against {of_noise}"


def test_bursts_of_weighting_steps_begin_every_stage_but_the_first():
    """Two stages of 5 steps after the first, 40 % of each; a tenth of 5 is half a step, and the first one counts."""
    found = {share: [s for s in range(15) if learning(share, 3, s, 15)] for share in (0.0, 0.1, 0.4, 1.0)}
    assert found == {0.0: [], 0.1: [5, 10], 0.4: [5, 6, 10, 11], 1.0: list(range(5, 15))}
    assert [s for s in range(7) if learning(0.5, 3, s, 7)] == [3, 5], "stages of 3, 2 and 2 steps"


def learning(share, num_stages, step, num_steps):
    return weighter(weighting_steps=share, num_stages=num_stages).is_weighting_step(step, num_steps)


def test_the_forecast_counts_validation_documents_products_and_what_is_read_twice():
    """8 steps of 8 sequences of 13 tokens; 2 weighting steps of 4 documents and 8 sequences."""
    size, num_tokens = ModelSize(parameters=10, activation_bytes_per_token=1, reading_bytes_per_token=1), 8 * 8 * 13
    costs = {cost.phase: cost for cost in weighter().forecast(setup(), SIZES, size, num_tokens)}
    assert costs["weights: validation gradients"].flops == FORWARD_BACKWARD * 10 * 2 * 4 * 16
    assert costs["weights: products with sequences"].flops == FORWARD_BACKWARD * 10 * num_tokens / 4
    assert len(costs) == 2
    cut = weighter().forecast(setup(micro_batch_items=4), SIZES, size, num_tokens)
    assert cut[0].flops == 2 * 10 * num_tokens


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("temperature", 0, "(0, inf)"),
        ("temperature", -1.0, "(0, inf)"),
        ("lr", 0.0, "(0, inf)"),
        ("floor", 1.0, "[0, 1)"),
        ("entropy_weight", -0.1, "[0, inf)"),
        ("weighting_steps", 1.5, "[0, 1]"),
        ("num_stages", 1, "at least 2"),
        ("validation_documents", 0, "at least 1"),
        ("width", 0, "at least 1"),
        ("seed", -1, "at least 0"),
    ],
)
def test_settings_without_a_meaning_are_refused(name, value, allowed):
    with pytest.raises(ConfigError, match=rf"DwmWeighter.{name}={value} is not allowed") as error:
        weighter(**{name: value})
    assert allowed in str(error.value)
    assert set(SETTINGS) == set(vars(weighter()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategy": "fsdp"}, "use trainer=ddp"),
        ({"compile": True}, "use trainer.compile=false"),
        ({"precision": "16-mixed"}, "use bf16-mixed or 32-true"),
    ],
)
def test_trainers_whose_steps_it_cannot_differentiate_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        weighter().check(setup(**change), None, 100)


class Unknown:
    lr = 0.1

    def make(self, network):
        raise AssertionError


class Preferences:
    pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_items": 1}, r"model.batch_items is 1: .* use model.batch_items=2 or more with weighter=dwm"),
        ({"optimizer": Unknown()}, r"of Unknown is not known; use optimizer@model.optimizer=adamw or sgd"),
        ({"objective": Preferences()}, r"not the samples of Preferences; use objective@model.objective=cross_entropy"),
    ],
)
def test_recipes_without_a_known_derivative_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        weighter().check(replace(setup(), recipe=tiny_recipe(**change)), None, 100)


def test_fewer_steps_than_stages_are_refused_before_anything_is_computed():
    with pytest.raises(ConfigError, match=r"weighter.num_stages is 2, but training has 1 steps; use fewer stages"):
        weighter().check(setup(), None, 1)
