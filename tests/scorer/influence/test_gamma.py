"""The step from a document's gradient: known answers by hand, and states that cannot judge."""

import pytest
import torch
from torch import nn

from delt_exp.errors import ConfigError
from delt_exp.model.optimizer import SGD, AdamW
from delt_exp.scorer.influence.gamma import Gamma, check_state, share_below_floor

ADAM = AdamW(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)


def mapped(form, gradient, m, v, step, momentum=True):
    moments = {"w": (torch.tensor(m).double(), torch.tensor(v).double())}
    transform = Gamma.of(form, momentum, ADAM).transform(moments, step)
    g = torch.tensor(gradient).double()
    return g if transform is None else transform("w", g[None])[0]


@pytest.mark.parametrize(
    ("form", "of_one", "of_zero"), [("official", 1.3834963, 0.9004502), ("adam", 0.2119365, 0.1379392)]
)
def test_a_gradient_of_one_and_of_zero_by_hand(form, of_one, of_zero):
    state = [0.2], [0.04], 9
    assert mapped(form, [1.0], *state).item() == pytest.approx(of_one, rel=1e-6)
    assert mapped(form, [0.0], *state).item() == pytest.approx(of_zero, rel=1e-6)
    without = mapped(form, [1.0], *state, momentum=False).item()
    assert without == pytest.approx(of_one - of_zero, abs=2e-7)
    assert mapped(form, [0.0], *state, momentum=False).item() == 0


@pytest.mark.parametrize(
    ("form", "scale", "expected"),
    [
        ("official", 1.0, 0.104267), ("official", 1e-6, 0.995037), ("sgd", 1.0, 0.995037), ("sgd", 1e-6, 0.995037),
        ("adam", 1.0, 0.104262), ("adam", 1e-6, 0.198759),
    ],
)  # fmt: skip
def test_the_published_form_depends_on_the_scale_of_the_loss(form, scale, expected):
    step = mapped(form, [scale, 0.1 * scale], [0.0, 0.0], [scale**2, 1e-4 * scale**2], 10**6)
    assert (step[0] / step.norm()).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("form", "size"), [("official", 10**0.5), ("adam", 1.0)])
def test_a_first_large_gradient_moves_every_coordinate_alike(form, size):
    step = mapped(form, [3.0, -50.0], [0.0, 0.0], [0.0, 0.0], 1)
    if form == "adam":  # a state before any update is refused; from that after one, the corrections differ
        step = step * (1 - 0.9**2) / 0.1 * ((1 - 0.999) / (1 - 0.999**2)) ** 0.5
    assert step.tolist() == pytest.approx([size, -size], rel=1e-4)


def test_adam_goes_where_the_optimizer_of_the_training_run_goes_next():
    torch.manual_seed(0)
    parameter = nn.Parameter(torch.randn(5, 3))
    optimizer = torch.optim.Adam([parameter], lr=1.0, betas=(0.8, 0.95), eps=1e-6)
    for _ in range(4):
        parameter.grad = torch.randn(5, 3)
        optimizer.step()
    state, gradient = optimizer.state[parameter], torch.randn(5, 3)
    gamma = Gamma.of("adam", True, AdamW(lr=1e-3, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.0))
    transform = gamma.transform({"w": (state["exp_avg"].clone(), state["exp_avg_sq"].clone())}, 4)
    before = parameter.detach().clone()
    parameter.grad = gradient
    optimizer.step()
    torch.testing.assert_close(transform("w", gradient[None])[0], before - parameter.detach(), rtol=1e-5, atol=1e-6)


def test_adams_step_needs_adam():
    with pytest.raises(ConfigError, match=r"scorer.gamma=adam needs the moments of Adam, which SGD does not have.*sgd"):
        Gamma.of("adam", True, SGD(lr=1.0, momentum=0.0, weight_decay=0.0))
    assert Gamma.of("sgd", True, SGD(lr=1.0, momentum=0.0, weight_decay=0.0)).transform({}, 1) is None


def parameters():
    return {"a": nn.Parameter(torch.ones(2, 2)), "b.lora_B.weight": nn.Parameter(torch.ones(3))}


def moments(**changes):
    found = {name: (torch.ones_like(p), torch.ones_like(p)) for name, p in parameters().items()}
    return {**found, **changes}


@pytest.mark.parametrize(
    ("state", "step", "message"),
    [
        ({}, 7, "the checkpoint of step 7 has no optimizer state, which scorer.gamma=adam needs.*scorer.gamma=sgd"),
        (moments(c=moments()["a"]), 7, "step 7: the model does not train c"),
        ({"a": moments()["a"]}, 7, "step 7: the optimizer state lacks b.lora_B.weight"),
        (
            moments(a=(torch.ones(2, 2), torch.ones(2, 3))),
            7,
            r"state of a has the shape \[2, 3\], the parameter \[2, 2\]",
        ),
        ({name: (m, 0 * v) for name, (m, v) in moments().items()}, 7, "an untrained optimizer state"),
        (moments(), 0, "an untrained optimizer state"),
    ],
)
def test_a_state_that_cannot_judge_is_named(state, step, message):
    with pytest.raises(ConfigError, match=message):
        check_state(parameters(), state, step, Gamma.of("adam", True, ADAM))


def test_sound_states_and_states_without_need_of_moments_pass():
    check_state(parameters(), moments(), 1, Gamma.of("official", True, ADAM))
    check_state(parameters(), {}, 1, Gamma.of("sgd", True, ADAM))


def test_adapters_before_the_warm_up_are_refused():
    fresh = {**parameters(), "b.lora_B.weight": nn.Parameter(torch.zeros(3))}
    with pytest.raises(ConfigError, match=r"second factors of its adapters are 0.*score after the warm-up"):
        check_state(fresh, moments(), 1, Gamma.of("sgd", True, ADAM))


def test_the_share_below_the_floor_counts_coordinates():
    v = torch.tensor([1e-9, 9e-9, 1e-8, 1.0])
    assert share_below_floor({"a": (v, v), "b": (v[:1], v[:1])}) == 3 / 5
