"""Features of whole models: the dense projection of the gradient of one sample at a time."""

import warnings
from collections.abc import Iterator, Mapping

import pytest
import torch
from torch import Tensor, nn

from delt_exp.gradients import features
from delt_exp.gradients.features import per_sample_features
from delt_exp.gradients.mapped import AdamStep, Transform
from delt_exp.gradients.projection import Projection
from delt_exp.gradients.signed_rows import SignedRows
from delt_exp.model.objective import CrossEntropy
from tests.gradients.test_directions import MODELS, draw_moments, make
from tests.gradients.test_fallback import WIDTH, Net, RowsReordered, Twice
from tests.gradients.test_kernel import live_tensors
from tests.gradients.test_projection import dense
from tests.gradients.test_signed_rows import SLOW_PAIRS, with_weights
from tests.gradients.tiny import draw_batch, gradients_by_name, tiny_model

FEW, MANY = Projection(16, 7), Projection(997, 7)
ROUTES = {"spectra": 0.0, "built": float("inf"), "by cost": features._TRANSFORM_COST}


def expected_features(
    gradients: list[dict[str, Tensor]], projection: Projection, transform: Transform | None = None
) -> Tensor:
    """The sum over parameters of the dense projection of each."""
    rows = []
    for one in gradients:
        mapped = {name: g if transform is None else transform(name, g[None])[0] for name, g in one.items()}
        parts = [
            dense(projection.hashing(name, g.shape), projection.num_features) @ g.double().flatten()
            for name, g in mapped.items()
        ]
        rows.append(torch.stack(parts).sum(0))
    return torch.stack(rows).float()


def assert_close(found: Tensor, expected: Tensor, tolerance: float = 1e-6) -> None:
    assert found.dtype == torch.float32
    assert (found - expected).norm() <= tolerance * expected.norm()


@pytest.fixture(autouse=True)
def no_fallback() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*one sample at a time")
        yield


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("route", ROUTES)
def test_features_are_the_projected_gradients_by_either_route(
    name: str, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linear layers, biases, norms, Conv1D, tables with a padding row, tied heads, low-rank factors."""
    monkeypatch.setattr(features, "_TRANSFORM_COST", ROUTES[route])
    model, batch = make(name), draw_batch([9, 4, 1, 0])
    expected = expected_features(gradients_by_name(model, batch, 4), MANY)
    found = per_sample_features(model, batch, CrossEntropy(), MANY)
    assert_close(found, expected)
    assert found[3].abs().max() <= 1e-6  # no label, no gradient


def test_the_cheaper_route_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(features.SketchSum, "add_product", lambda self, *factors: taken.append(factors))
    model, batch = make("llama"), draw_batch([9, 4])
    per_sample_features(model, batch, CrossEntropy(), Projection(8192, 0))
    assert not taken
    per_sample_features(model, batch, CrossEntropy(), Projection(2, 0))
    assert len(taken) == 15  # seven layers in each of two blocks, and the head


@pytest.mark.parametrize("name", MODELS)
def test_mapped_gradients_are_projected(name: str) -> None:
    model, batch = make(name), draw_batch([9, 4, 1, 0])
    step = AdamStep(draw_moments(model), step=3)
    expected = expected_features(gradients_by_name(model, batch, 4), FEW, step)
    assert_close(per_sample_features(model, batch, CrossEntropy(), FEW, step), expected)


@pytest.mark.parametrize("name", ["llama tied, padding row", "gpt2", "lora"])
def test_rows_of_a_sample_are_projected_as_one(name: str) -> None:
    model, batch = make(name), with_weights(draw_batch([9, 4, 6, 7]), [1, -1, 0.5, 2])
    expected = expected_features(gradients_by_name(model, batch, 2, SLOW_PAIRS), FEW)
    assert_close(per_sample_features(model, batch, SignedRows(CrossEntropy(), 2), FEW), expected)


def test_the_sketch_is_linear_so_that_a_pair_is_the_difference_of_its_rows() -> None:
    model, rows = make("llama tied, padding row"), draw_batch([9, 6])
    each = per_sample_features(model, with_weights(rows, [1, 1]), SignedRows(CrossEntropy(), 1), MANY)
    pair = per_sample_features(model, with_weights(rows, [1, -1]), SignedRows(CrossEntropy(), 2), MANY)
    assert_close(pair[0], each[0] - each[1])


@pytest.mark.parametrize("name", MODELS)
def test_batch_mates_and_padding_change_nothing(name: str) -> None:
    model, alone = make(name), draw_batch([5], seed=3)
    mates = draw_batch([9, 3, 7], seed=4)
    row = {key: torch.full((1, 9), -100 if key == "labels" else 0) for key in mates}
    for key, value in row.items():
        value[:, :5] = alone[key]
    together = {key: torch.cat([mates[key][:2], row[key], mates[key][2:]]) for key in mates}
    found = per_sample_features(model, together, CrossEntropy(), MANY)
    assert_close(found[2:3], per_sample_features(model, alone, CrossEntropy(), MANY))


def test_peft_adapters_are_ordinary_linear_layers() -> None:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj", "down_proj"])
    model = peft.get_peft_model(tiny_model("llama"), config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)  # the second factor starts at zero
    model, batch = model.double(), draw_batch([5, 3, 1])
    expected = expected_features(gradients_by_name(model, batch, 3), MANY)
    assert_close(per_sample_features(model, batch, CrossEntropy(), MANY), expected)


@pytest.mark.parametrize("middle", [Twice(WIDTH, WIDTH), RowsReordered(WIDTH, WIDTH)])
def test_uses_of_any_kind_are_projected(middle: nn.Module) -> None:
    """A weight used twice needs no fallback: a sketch is linear in its uses."""
    torch.manual_seed(0)
    net, batch = Net(middle).double(), draw_batch([4, 2, 3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = per_sample_features(net, batch, CrossEntropy(), FEW)
    assert_close(found, expected_features(gradients_by_name(net, batch, 3), FEW))


def test_a_deeper_model_keeps_the_parts_of_its_first_layers() -> None:
    """Seeds go by name: freezing the other layers leaves the same law for the rest."""
    whole, batch = make("llama"), draw_batch([6, 4])
    names = [name for name, _ in whole.named_parameters() if "layers.0" in name]
    whole.requires_grad_(False)
    for name, parameter in whole.named_parameters():
        parameter.requires_grad_(name in names)
    part = per_sample_features(whole, batch, CrossEntropy(), FEW)
    whole.requires_grad_(True)
    gradients = gradients_by_name(whole, batch, 2)
    kept: list[dict[str, Tensor]] = [{name: g for name, g in one.items() if name in names} for one in gradients]
    assert_close(part, expected_features(kept, FEW))


@pytest.mark.parametrize("transform", [None, lambda name, gradient: gradient.sign()])
def test_nothing_of_a_batch_stays_in_memory(transform: Transform | None) -> None:
    model, batch = make("llama tied, padding row"), draw_batch([5, 3])
    per_sample_features(model, batch, CrossEntropy(), FEW, transform)
    before = live_tensors()
    for _ in range(4):
        per_sample_features(model, batch, CrossEntropy(), FEW, transform)
    assert live_tensors() <= before + 2


def test_half_precision_stays_near() -> None:
    model, batch = make("llama", torch.float32), draw_batch([9, 5])
    exact = per_sample_features(model, batch, CrossEntropy(), MANY)
    half = per_sample_features(model, batch, CrossEntropy(), MANY, autocast_dtype=torch.bfloat16)
    assert_close(half, exact, 0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["llama tied, padding row", "gpt2", "lora"])
def test_features_are_the_same_on_cpu_and_gpu(name: str) -> None:
    model, batch = make(name, torch.float32), draw_batch([9, 4, 1])
    on_cpu = per_sample_features(model, batch, CrossEntropy(), MANY)
    on_gpu: Mapping[str, Tensor] = {key: value.cuda() for key, value in batch.items()}
    assert_close(per_sample_features(model.cuda(), on_gpu, CrossEntropy(), MANY).cpu(), on_cpu, 1e-5)
