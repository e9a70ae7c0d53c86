"""Embeddings: the recursion against values worked by hand and the exact sweep, sketches against whole gradients."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from delt_exp.distributed.ranks import SingleProcess
from delt_exp.errors import ConfigError, DataError
from delt_exp.gradients.flat import flatten, trainable_parameters
from delt_exp.gradients.loss import sample_losses
from delt_exp.gradients.projection import Projection
from delt_exp.gradients.sketch import sketched
from delt_exp.model.objective import CrossEntropy
from delt_exp.model.optimizer import SGD
from delt_exp.scorer.dvemb.capture import StoredEmbeddings, capture
from delt_exp.scorer.dvemb.embedding import ClippedSketches, embed_in_place
from delt_exp.scorer.dvemb.run import LanguageModelRun
from delt_exp.scorer.dvemb.update import Update
from delt_exp.scorer.dvemb.value import Descending, value_documents
from delt_exp.scorer.reverse.samples import micro_batches
from tests.scorer.dvemb.test_sweep import GOLDEN, golden_run
from tests.scorer.dvemb.tiny import settings, tiny_target, tiny_updates
from tests.scorer.lqs.tiny import tiny_gpt2

RATES = [0.2, 0.1, 0.3, 0.2]
CLIP_NORM = 0.5


def descending(clip_norm: float | None) -> Descending:
    return Descending(SGD(lr=1, momentum=0, weight_decay=0), RATES, clip_norm)


DESCENDING = descending(None)


def embedded(features: list[float], rates: list[float], steps: list[int]) -> list[float]:
    numbers = np.array(features, np.float32)[:, None]
    embed_in_place(numbers, np.array(steps), np.array(rates))
    return numbers[:, 0].tolist()


@pytest.mark.parametrize(
    ("rates", "gradients", "expected"),
    [
        # (theta - a)^2 / 2 for a = 1, 2, 3 from theta = 0: gradients theta - a at theta = 0, .1, .48
        ([0.1, 0.2, 0.1], [-1, -1.9, -2.52], [-0.010145888, -0.1386848, -0.252]),
        # the released code sets every rate to 1: the signs flip
        ([1, 1, 1], [-1, -1.9, -2.52], [-13.964544, 10.16576, -2.52]),
    ],
)
def test_scalar_embeddings_known_by_hand(rates: list[float], gradients: list[float], expected: list[float]) -> None:
    assert embedded(gradients, rates, [0, 1, 2]) == pytest.approx(expected, rel=1e-6)


def test_occurrences_of_an_update_share_what_comes_after_it() -> None:
    """e_3 = .1 x 2; M = e_3 x 2 = .4; e_1 = .5 x (1 - .4), e_2 = .5 x (3 - 1.2)."""
    assert embedded([1, 3, 2], [0.5, 0.5, 0.1], [0, 0, 1]) == pytest.approx([0.3, 0.9, 0.2])


@pytest.mark.parametrize("steps", [[0, 2, 3], [0, 1, 0], [1, 2, 3], [0, 2, 1]])
def test_steps_with_a_gap_or_out_of_order_are_refused(steps: list[int]) -> None:
    with pytest.raises(DataError, match="need all updates of a run in order"):
        embedded([1, 2, 3], [0.1, 0.1, 0.1], steps)


def whole_embeddings(clip_norm: float | None = None) -> np.ndarray:
    """The embeddings of whole gradients, of one backward pass an occurrence."""
    features, steps, rates, clipping = whole_gradients(tiny_gpt2(), tiny_updates(len(RATES)), RATES, clip_norm)
    embed_in_place(features, steps, rates, clipping)
    return features


def whole_gradients(
    model: Any, updates: Sequence[Update], lrs: Sequence[float], clip_norm: float | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, ClippedSketches]:
    """The gradient of every occurrence at its update; updates; rates times shares; what clipping does."""
    rows, steps, rates = [], [], []
    factors, norms, shares = [], [], []
    parameters = list(model.parameters())
    for step, update in enumerate(updates):
        total = torch.zeros(sum(p.numel() for p in parameters), dtype=torch.float64)
        for n, sample in enumerate(update.samples):
            (_, batch), *_ = micro_batches([sample], [0], 1, torch.device("cpu"))
            gradient = flatten(torch.autograd.grad(sample_losses(model, batch, CrossEntropy()).sum(), parameters))
            rows.append(gradient.numpy().astype(np.float32))
            steps.append(step)
            rates.append(lrs[step] * update.shares[n].item())
            total += update.shares[n] * gradient
        norms.append(total.norm().item())
        factors.append(1.0 if clip_norm is None else min(1.0, clip_norm / norms[-1]))
        shares.append(update.shares)
        total *= factors[-1]
        with torch.no_grad():
            for parameter, piece in zip(parameters, total.split([p.numel() for p in parameters]), strict=True):
                parameter -= lrs[step] * piece.view(parameter.shape)
    return np.stack(rows), np.array(steps), np.array(rates), ClippedSketches(factors, norms, shares)


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the folder of golden values is not beside the checkout")
def test_golden_embeddings_gradients_and_weights_are_reproduced() -> None:
    model, updates, target, golden = golden_run()
    tensors = load_file(GOLDEN / "tensors.safetensors")
    features, steps, rates, _ = whole_gradients(model.eval(), updates, golden["lrs"], None)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), golden["gradient_norm"], rtol=1e-5)
    parameters = list(model.parameters())
    close(flatten(parameters).detach(), tensors["theta_T"])
    run = LanguageModelRun(model, updates, target, settings("fisher"), SingleProcess())
    close(run.target_gradients()[1], tensors["target_gradient"])
    embed_in_place(features, steps, rates)
    close(torch.from_numpy(features), tensors["embedding/gauss_newton"])


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def exact_values(clip_norm: float | None = None) -> torch.Tensor:
    run = tiny_updates(len(RATES)), tiny_target(), descending(clip_norm), settings("fisher")
    return value_documents(tiny_gpt2(), *run).value_NG


def run_of(model: Any) -> LanguageModelRun:
    return LanguageModelRun(model, tiny_updates(len(RATES)), tiny_target(), settings("fisher"), SingleProcess())


def final_gradients(clip_norm: float | None = None) -> tuple[Any, torch.Tensor]:
    """Gradients of both groups of the target at the end of the run."""
    model = tiny_gpt2()
    run = run_of(model)
    descending(clip_norm).states(run, model, SingleProcess(), "").run_forward(len(RATES), lambda step, loss, norm: None)
    return model, run.target_gradients()[1]


@pytest.mark.slow
@pytest.mark.parametrize("clip_norm", [None, CLIP_NORM])
def test_with_whole_gradients_the_recursion_is_the_sweep_with_the_fisher_matrix(clip_norm: float | None) -> None:
    found = torch.from_numpy(whole_embeddings(clip_norm)).double() @ final_gradients(clip_norm)[1].T
    expected = exact_values(clip_norm)
    assert (found - expected).abs().max() < 2e-5 * expected.abs().max()
    if clip_norm is not None:
        assert not torch.allclose(expected, exact_values(), rtol=0.05)


def stored(folder: Path, num_features: int, seed: int) -> tuple[StoredEmbeddings, Projection]:
    model, projection = tiny_gpt2(), Projection(num_features, seed)
    capture(run_of(model), model, DESCENDING, projection, folder, "lower the rate", lambda *_: None)
    return StoredEmbeddings(folder), projection


def relative_error(folder: Path, num_features: int, seed: int) -> float:
    """RMS error of the values over |embedding| |target gradient|, about what 1 / sqrt(K) is of."""
    features, (model, gradient_GP) = whole_embeddings(), final_gradients()
    found, projection = stored(folder, num_features, seed)
    parameters = trainable_parameters(model)
    target_GK = sketched(gradient_GP, projection, parameters)
    values, _ = found.values(target_GK, projection.describe(parameters), len(RATES))
    scale = torch.from_numpy(features).double().norm(dim=1)[:, None] * gradient_GP.norm(dim=1)
    return float(((values - exact_values()) / scale).square().mean().sqrt())


@pytest.mark.slow
def test_the_error_of_sketched_values_falls_with_the_root_of_their_number(tmp_path: Path) -> None:
    errors = {}
    for num_features in (64, 1024):
        found = [relative_error(tmp_path / f"{num_features}-{seed}", num_features, seed) for seed in range(6)]
        errors[num_features] = float(np.sqrt(np.mean(np.square(found))))
        assert errors[num_features] < 1.5 * num_features**-0.5
    assert 2 < errors[64] / errors[1024] < 8  # 4 by the law


def test_what_is_stored_is_the_end_of_the_run_and_the_rows_of_occurrences(tmp_path: Path) -> None:
    found, _ = stored(tmp_path / "e", 32, 0)
    model, _ = final_gradients()
    torch.testing.assert_close(found.final_parameters(), flatten(model.parameters()))
    assert np.load(tmp_path / "e" / "rows.npy").tolist() == list(range(20))
    assert (found.about["updates"], found.about["occurrences"], found.about["documents"]) == (4, 20, 20)


def test_targets_of_another_step_or_another_sketch_are_refused(tmp_path: Path) -> None:
    found, projection = stored(tmp_path / "e", 32, 0)
    described = projection.describe(trainable_parameters(tiny_gpt2()))
    target_GK = torch.zeros(1, 32)
    with pytest.raises(DataError, match=r"taken after update 3, but these embeddings lead to .* update 4"):
        found.values(target_GK, described, 3)
    with pytest.raises(ConfigError, match="unlike projections cannot be multiplied: seed is 0"):
        found.values(target_GK, {**described, "seed": 1}, 4)
