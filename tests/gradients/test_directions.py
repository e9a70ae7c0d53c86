"""Several directions at once, and maps of the gradients before the products, against the slow obvious way."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from delt_exp.errors import ConfigError
from delt_exp.gradients.flat import flatten
from delt_exp.gradients.kernel import per_sample_terms
from delt_exp.gradients.mapped import AdamStep
from delt_exp.model.objective import CrossEntropy
from tests.gradients.test_fallback import WIDTH, Net, Twice
from tests.gradients.tiny import FAMILIES, draw_batch, draw_direction, gradients_by_name, lora_model, tiny_model

MODELS = [*FAMILIES, "lora"]


def make(name: str, dtype: torch.dtype = torch.float64) -> Any:
    return lora_model(dtype=dtype) if name == "lora" else tiny_model(name, dtype=dtype)


def draw_directions(model: nn.Module, count: int) -> Tensor:
    return torch.stack([draw_direction(model, seed) for seed in range(count)])


def draw_moments(model: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return {
        name: (
            torch.randn(p.shape, generator=generator).to(p) * 0.1,
            torch.rand(p.shape, generator=generator).to(p) * 0.01,
        )
        for name, p in named
    }


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("lengths", [[9, 4, 1, 0], [31, 20]])
def test_several_directions_are_as_many_single_calls(name: str, lengths: list[int]) -> None:
    model, batch = make(name), draw_batch(lengths)
    directions_SP = draw_directions(model, 5)
    dot_BS, norm_B = per_sample_terms(model, batch, CrossEntropy(), directions_SP)
    singles = [per_sample_terms(model, batch, CrossEntropy(), direction) for direction in directions_SP]
    assert torch.allclose(dot_BS, torch.stack([dot for dot, _ in singles], dim=1), rtol=1e-9, atol=1e-12)
    assert all(torch.allclose(norm_B, norm, rtol=1e-9, atol=1e-12) for _, norm in singles)


@pytest.mark.parametrize("name", ["llama tied, padding row", "gpt2", "lora"])
def test_several_directions_are_as_many_single_calls_in_float32(name: str) -> None:
    model, batch = make(name, torch.float32), draw_batch([9, 4, 1, 0])
    directions_SP = draw_directions(model, 5)
    dot_BS, norm_B = per_sample_terms(model, batch, CrossEntropy(), directions_SP)
    singles_BS = torch.stack([per_sample_terms(model, batch, CrossEntropy(), d)[0] for d in directions_SP], dim=1)
    assert (dot_BS - singles_BS).abs().max() <= 1e-6 * norm_B.max() * directions_SP.norm(dim=1).max()


def test_one_row_of_directions_keeps_its_axis() -> None:
    model, batch = make("llama"), draw_batch([5, 3, 2])
    direction = draw_direction(model)
    dot_BS, _ = per_sample_terms(model, batch, CrossEntropy(), direction[None])
    assert dot_BS.shape == (3, 1)
    assert torch.allclose(dot_BS[:, 0], per_sample_terms(model, batch, CrossEntropy(), direction)[0], rtol=1e-12)


def test_unknown_uses_take_several_directions_too() -> None:
    torch.manual_seed(0)
    net, batch = Net(Twice(WIDTH, WIDTH)).double(), draw_batch([4, 2, 3])
    directions_SP = draw_directions(net, 2)
    with pytest.warns(UserWarning, match=r"middle\.weight"):
        dot_BS, _ = per_sample_terms(net, batch, CrossEntropy(), directions_SP)
    flat = [flatten(g.values()) for g in gradients_by_name(net, batch, 3)]
    assert torch.allclose(dot_BS, torch.stack(flat) @ directions_SP.T, rtol=1e-9, atol=1e-12)


@pytest.fixture
def no_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of one sample."""
    monkeypatch.setattr("delt_exp.gradients.uses._SCRATCH_ELEMENTS", {"cpu": 1})


@pytest.mark.parametrize("name", MODELS)
def test_the_identity_map_changes_nothing(name: str) -> None:
    model, batch = make(name), draw_batch([9, 4, 1, 0])
    directions_SP = draw_directions(model, 3)
    found = per_sample_terms(model, batch, CrossEntropy(), directions_SP, transform=lambda name, gradient: gradient)
    for ours, plain in zip(found, per_sample_terms(model, batch, CrossEntropy(), directions_SP), strict=True):
        assert torch.allclose(ours, plain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.usefixtures("no_scratch")
def test_a_map_is_applied_to_the_whole_gradient_of_each_sample(name: str) -> None:
    """Not linear and different for each parameter; the gradient of a tied weight is one."""
    model, batch = make(name), draw_batch([9, 4, 1, 0])
    step, direction = AdamStep(draw_moments(model), step=3), draw_direction(model)
    dot_B, norm_B = per_sample_terms(model, batch, CrossEntropy(), direction, transform=step)
    mapped = [flatten(step(n, g[None]) for n, g in one.items()) for one in gradients_by_name(model, batch, 4)]
    assert dot_B.tolist() == pytest.approx([(m @ direction).item() for m in mapped], rel=1e-8)
    assert norm_B.tolist() == pytest.approx([m.norm().item() for m in mapped], rel=1e-8)


def test_an_elementwise_factor_needs_no_map() -> None:
    model, batch = make("llama"), draw_batch([9, 4])
    direction, factor = draw_direction(model), draw_direction(model, seed=9)
    pieces = dict(
        zip(
            [n for n, _ in model.named_parameters()], factor.split([p.numel() for p in model.parameters()]), strict=True
        )
    )
    by_map, _ = per_sample_terms(
        model, batch, CrossEntropy(), direction, transform=lambda n, g: g * pieces[n].view(g.shape[1:])
    )
    by_direction, _ = per_sample_terms(model, batch, CrossEntropy(), factor * direction)
    assert torch.allclose(by_map, by_direction, rtol=1e-9)


def test_a_parameter_that_nothing_uses_still_moves_by_its_momentum() -> None:
    torch.manual_seed(0)
    net, batch = Net(nn.Identity()).double(), draw_batch([4, 2, 3])
    net.spare = nn.Linear(WIDTH, 1).double()
    step, direction = AdamStep(draw_moments(net), step=1), draw_direction(net)
    dot_B, norm_B = per_sample_terms(net, batch, CrossEntropy(), direction, transform=step)
    mapped = [flatten(step(n, g[None]) for n, g in one.items()) for one in gradients_by_name(net, batch, 3)]
    assert dot_B.tolist() == pytest.approx([(m @ direction).item() for m in mapped], rel=1e-8)
    assert norm_B.tolist() == pytest.approx([m.norm().item() for m in mapped], rel=1e-8)


def test_unknown_uses_are_mapped_too() -> None:
    torch.manual_seed(0)
    net, batch = Net(Twice(WIDTH, WIDTH)).double(), draw_batch([4, 2, 3])
    step, direction = AdamStep(draw_moments(net), step=1, form="official"), draw_direction(net)
    dot_B, norm_B = per_sample_terms(
        net, batch, CrossEntropy(), direction, transform=step
    )  # built, so that two uses add up
    mapped = [flatten(step(n, g[None]) for n, g in one.items()) for one in gradients_by_name(net, batch, 3)]
    assert dot_B.tolist() == pytest.approx([(m @ direction).item() for m in mapped], rel=1e-8)
    assert norm_B.tolist() == pytest.approx([m.norm().item() for m in mapped], rel=1e-8)


@pytest.mark.parametrize(
    ("form", "gradient", "expected"),
    [("official", 1.0, 1.3834963), ("adam", 1.0, 0.2119365), ("official", 0.0, 0.9004502), ("adam", 0.0, 0.1379392)],
)
def test_adam_steps_worked_by_hand(form: Any, gradient: float, expected: float) -> None:
    # m = 0.2, v = 0.04 after step 9; official at g = 1: 0.28 / sqrt(0.04096 + 1e-8).
    moments = {"w": (torch.tensor([0.2], dtype=torch.float64), torch.tensor([0.04], dtype=torch.float64))}
    step = AdamStep(moments, step=9, form=form)
    assert step("w", torch.tensor([[gradient]], dtype=torch.float64)).item() == pytest.approx(expected, rel=1e-6)


def test_an_adam_step_is_what_the_optimizer_does_next() -> None:
    weight = nn.Parameter(torch.zeros(4, dtype=torch.float64))
    optimizer = torch.optim.Adam([weight], lr=1)
    for scale in (1.0, -0.3, 1e-3):
        weight.grad = scale * torch.arange(1, 5, dtype=torch.float64)
        optimizer.step()
    state, before, gradient = optimizer.state[weight], weight.detach().clone(), torch.tensor([0.1, -2.0, 0, 1e-5])
    step = AdamStep({"w": (state["exp_avg"].clone(), state["exp_avg_sq"].clone())}, step=3)
    found = step("w", gradient.double()[None])[0]
    weight.grad = gradient.double()
    optimizer.step()
    assert (before - weight).tolist() == pytest.approx(found.tolist(), rel=1e-9)


def test_wrong_adam_states_are_named() -> None:
    zeros = torch.zeros(2)
    with pytest.raises(ConfigError, match="no Adam state for parameter b; there is state for a"):
        AdamStep({"a": (zeros, zeros)}, step=1)("b", torch.zeros(1, 2))
    with pytest.raises(ConfigError, match=r"Adam state of a has shapes \[2\] and \[2\], the parameter \[3\]"):
        AdamStep({"a": (zeros, zeros)}, step=1)("a", torch.zeros(1, 3))
    with pytest.raises(ConfigError, match="of step 0"):
        AdamStep({}, step=0)
    with pytest.raises(ConfigError, match="'sgd'; allowed are 'adam' and 'official'"):
        AdamStep({}, step=1, form="sgd")  # type: ignore[arg-type]
