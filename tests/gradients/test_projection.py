"""The law of the sketch: unbiased, of known variance, the same by both routes, and never mixed with another."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from delt_exp.config.identity import identity
from delt_exp.errors import ConfigError
from delt_exp.gradients.projection import Hashing, Projection, inner_products
from delt_exp.gradients.sketch import SketchSum

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "gradient" / "projection" / "golden.json"
ROWS, COLUMNS, FEATURES, SEEDS = 24, 24, 64, 2000


def dense(hashing: Hashing, num_features: int) -> Tensor:
    """The whole projection, (K, P), written element by element."""
    bucket_P, sign_P = hashing.of_elements()
    matrix_KP = torch.zeros(num_features, len(bucket_P), dtype=torch.float64)
    for element, (bucket, sign) in enumerate(zip(bucket_P.tolist(), sign_P.tolist(), strict=True)):
        matrix_KP[bucket % num_features, element] = sign
    return matrix_KP


def by_both_routes(left_BTO: Tensor, right_BTI: Tensor, hashing: Hashing, num_features: int) -> list[Tensor]:
    built = torch.bmm(left_BTO.transpose(1, 2), right_BTI).flatten(1)
    bucket_P, sign_P = hashing.of_elements()
    sums = [SketchSum(len(built), num_features, built.device) for _ in range(2)]
    sums[0].add(slice(None), bucket_P, built * sign_P)
    sums[1].add_product(left_BTO, right_BTI, hashing)
    return [total.total() for total in sums]


@pytest.mark.skipif(not GOLDEN.is_file(), reason="the folder of golden values is not beside the checkout")
def test_golden_tensor_sketch_is_reproduced_by_both_routes() -> None:
    golden = json.loads(GOLDEN.read_text())
    law = golden["tensor_sketch"]
    buckets = tuple(torch.tensor(law[f"hash_{side}"]) for side in ("out", "in"))
    signs = tuple(torch.tensor(law[f"sign_{side}"]) for side in ("out", "in"))
    delta, x = (torch.tensor(golden[name]) for name in ("delta", "x"))
    for found in by_both_routes(delta, x, Hashing(buckets, signs), law["k"]):
        assert torch.allclose(found, torch.tensor(law["result"]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_features", [2, 7, 64, 501])
@pytest.mark.parametrize("scratch", [1, 2**19])
def test_both_routes_are_the_dense_projection(num_features: int, scratch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("delt_exp.gradients.uses._SCRATCH_ELEMENTS", {"cpu": scratch})
    torch.manual_seed(0)
    left_BTO, right_BTI = torch.randn(3, 9, 6).double(), torch.randn(3, 9, 11).double()
    hashing = Projection(num_features, 3).hashing("w", torch.Size([6, 11]))
    exact = torch.bmm(left_BTO.transpose(1, 2), right_BTI).flatten(1) @ dense(hashing, num_features).T
    for found in by_both_routes(left_BTO, right_BTI, hashing, num_features):
        assert torch.allclose(found, exact.float(), rtol=1e-6, atol=1e-5)


def products(u: Tensor, v: Tensor, name: str) -> Tensor:
    """<Su, Sv> for each of SEEDS projections."""
    found = []
    for seed in range(SEEDS):
        bucket_P, sign_P = Projection(FEATURES, seed).hashing(name, u.shape).of_elements()
        sketches = [
            np.bincount(bucket_P.numpy() % FEATURES, weights=(t.flatten() * sign_P).numpy(), minlength=FEATURES)
            for t in (u, v)
        ]
        found.append(sketches[0] @ sketches[1])
    return torch.tensor(np.array(found))


def independent_variance(u: Tensor, v: Tensor) -> float:
    """Of <Su, Sv> with a bucket and a sign of its own for each element, at any rank."""
    return ((u.norm() * v.norm()) ** 2 + (u * v).sum() ** 2 - 2 * (u * v).square().sum()).item() / FEATURES


def draw_pair(*shape: int) -> tuple[Tensor, Tensor]:
    """Two tensors that are neither equal nor orthogonal."""
    generator = torch.Generator().manual_seed(1)
    u, noise = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return u, 0.5 * u + noise


@pytest.mark.parametrize("shape", [(ROWS, COLUMNS), (ROWS * COLUMNS,), (ROWS, 4, 6)])
def test_products_are_unbiased_with_the_variance_of_the_law(shape: tuple[int, ...]) -> None:
    u, v = draw_pair(*shape)
    found = products(u, v, "w")
    assert abs(found.mean() - (u * v).sum()) <= 3 * found.std() / SEEDS**0.5
    assert found.var().item() == pytest.approx(independent_variance(u, v), rel=0.1)


@pytest.mark.slow
def test_products_of_rank_1_are_unbiased_with_at_most_four_times_the_variance() -> None:
    (a, c), (b, d) = draw_pair(ROWS), draw_pair(COLUMNS)
    u, v = torch.outer(a, b), torch.outer(c, d)
    found = products(u, v, "w")
    assert abs(found.mean() - (u * v).sum()) <= 3 * found.std() / SEEDS**0.5
    assert found.var().item() <= 8 / FEATURES * (u.norm() * v.norm()).item() ** 2


def test_sides_of_a_square_matrix_and_matrices_of_one_shape_differ() -> None:
    """One draw for both sides would make products of square layers biased."""
    projection, square = Projection(4096, 0), torch.Size([50, 50])
    first, second = projection.hashing("a.weight", square), projection.hashing("b.weight", square)
    assert not torch.equal(first.buckets[0], first.buckets[1])
    assert not torch.equal(first.buckets[0], second.buckets[0])
    assert not torch.equal(first.buckets[0], Projection(4096, 1).hashing("a.weight", square).buckets[0])


def test_a_parameter_keeps_its_law_whatever_is_drawn_beside_it() -> None:
    alone, after = Projection(64, 5), Projection(64, 5)
    after.hashing("another", torch.Size([7]))
    for name, shape in (("w", torch.Size([3, 5])), ("bias", torch.Size([9]))):
        pairs = zip(alone.hashing(name, shape).buckets, after.hashing(name, shape).buckets, strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def description(model: nn.Module, num_features: int = 8, seed: int = 1) -> dict[str, Any]:
    told = Projection(num_features, seed).describe(dict(model.named_parameters()))
    return json.loads(json.dumps(told))


def test_products_of_one_law_are_those_of_the_features() -> None:
    told = description(nn.Linear(3, 2))
    left, right = torch.tensor([[1.0, 2], [3, 4]]), torch.tensor([[1.0, -1]])
    assert inner_products(left, told, right, told).tolist() == [[-1], [-1]]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (description(nn.Linear(3, 2), seed=2), "seed is 1 on one side and 2 on the other"),
        (description(nn.Linear(3, 2), num_features=9), "num_features is 8 on one side and 9 on the other"),
        (description(nn.Linear(3, 4)), r"parameters is \['weight', \[2, 3\]\] on one side and \['weight', \[4, 3\]\]"),
        (description(nn.Linear(3, 2, bias=False)), r"parameters is \['bias', \[2\]\] on one side and nothing more on"),
        ({**description(nn.Linear(3, 2)), "law": "another"}, "law is 'shared .* and 'another' on the other"),
    ],
)
def test_features_of_unlike_laws_are_not_multiplied(other: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"features of unlike projections cannot be multiplied: {message}"):
        inner_products(torch.ones(1, 8), description(nn.Linear(3, 2)), torch.ones(1, 8), other)


@pytest.mark.parametrize("wrong", [1, 0, -3, 2.5])
def test_too_few_features_are_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=rf"Projection\.num_features={wrong} is not allowed.*at least 2"):
        Projection(wrong, 0)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Projection\.seed=-1 is not allowed"):
        Projection(8, -1)


def test_what_was_drawn_is_no_part_of_a_projection_as_a_setting() -> None:
    """A projection can be a setting of a scorer, and settings make store keys."""
    projection = Projection(8, 1)
    before = identity(projection)
    projection.hashing("w", torch.Size([3, 2]))
    assert identity(projection) == before
    assert projection == Projection(8, 1)
