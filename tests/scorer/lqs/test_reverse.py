"""The reverse loop: values worked by hand, and derivatives taken by finite differences."""

from pathlib import Path

import pytest
import torch

from delt_exp.distributed.ranks import SingleProcess
from delt_exp.errors import ConfigError, DataError, DivergedError
from delt_exp.gradients.loss import sample_losses
from delt_exp.model.objective import CrossEntropy
from delt_exp.scorer.lqs.annotate import annotate, annotate_problem
from delt_exp.scorer.lqs.annotation import Annotation
from delt_exp.scorer.lqs.settings import AnnotationSettings
from delt_exp.scorer.reverse.samples import micro_batches
from tests.scorer.lqs.tiny import ScalarProblem, tiny_gpt2, tiny_model, tiny_run, tiny_settings


def annotate_scalar(
    num_steps: int = 3, documents_a: tuple[float, ...] = (3, -1), *, is_whole: bool = True, **changes: object
) -> Annotation:
    settings = tiny_settings(lr=0.1, **{"interval": 1, **changes})
    problem = ScalarProblem(num_steps, list(documents_a))
    result = annotate_problem(
        problem,
        settings,
        ranks=SingleProcess(),
        state_dir=None,
        progress=lambda phase, done, total: None,
        is_whole=is_whole,
    )
    assert problem.theta.tolist() == [0]
    return result


@pytest.mark.parametrize(
    ("score", "init_norm", "expected"),
    [
        ("pds", "terminal", [2.940865, -1.068971]),
        ("lqs", "terminal", [1.0353702, -0.9211688]),
        ("lqs", "one", [1.3431873, -0.9650386]),
        # theta = 0, .1, .19, .271. |theta - 3|: 3, 2.9, 2.81, 2.729; |theta + 1|: 1, 1.1, 1.19, 1.271.
        ("learnability", "terminal", [3 / 2.9 + 2.9 / 2.81 + 2.81 / 2.729, 1 / 1.1 + 1.1 / 1.19 + 1.19 / 1.271]),
        ("quality", "terminal", [3, -3]),  # in one dimension every cosine is 1 or -1
    ],
)
@pytest.mark.parametrize("trajectory", ["whole", "checkpoints"])
def test_scalar_values_known_by_hand(score: str, init_norm: str, expected: list[float], trajectory: str) -> None:
    result = annotate_scalar(init_norm=init_norm, is_whole=trajectory == "whole")
    assert result.scores(score).tolist() == pytest.approx(expected, rel=1e-6)
    assert result.costate_norm_S.tolist() == pytest.approx([1.729, 3.3661, 4.92949], rel=1e-9)
    assert result.target_loss_T.tolist() == pytest.approx([1.9**2 / 2, 1.81**2 / 2, 1.729**2 / 2], rel=1e-9)


@pytest.mark.parametrize("num_steps", [1, 2, 5, 7, 12])
def test_numbers_of_steps_that_are_no_squares_agree_with_the_closed_form(num_steps: int) -> None:
    # theta_t = 1 - 0.9^t and lambda_t = sum over s >= t of 0.9^(s - t) (theta_s - 2).
    theta = [1 - 0.9**t for t in range(num_steps + 1)]
    costate = [sum(0.9 ** (s - t) * (theta[s] - 2) for s in range(t, num_steps + 1)) for t in range(num_steps + 1)]
    expected = sum(0.1 * costate[t + 1] * (theta[t] - 3) for t in range(num_steps))
    for is_whole in (True, False):
        result = annotate_scalar(num_steps, (3,), is_whole=is_whole)
        assert result.scores("pds").item() == pytest.approx(expected, rel=1e-10)
        assert result.steps_S.tolist() == list(reversed(range(num_steps)))


def test_an_interval_of_all_steps_leaves_one_term() -> None:
    result = annotate_scalar(interval=3)
    assert result.steps_S.tolist() == [0]
    assert result.scores("pds").tolist() == pytest.approx([0.1 * 4.92949 * 3, -0.1 * 4.92949], rel=1e-9)


def test_a_document_without_gradient_scores_zero_and_one_that_loses_it_is_an_error() -> None:
    zeros, ones = torch.zeros(1, 2), torch.ones(1, 2)
    for score in ("lqs", "pds", "learnability", "quality"):
        assert terms(zeros, zeros, zeros).scores(score).tolist() == [0, 0]
    with pytest.raises(DataError, match="document 1 has the contribution inf at step 2: its gradient vanished"):
        terms(ones, ones, torch.tensor([[1.0, 0.0]])).scores("lqs")


def test_an_annotation_on_disk_is_the_one_that_was_written(tmp_path: Path) -> None:
    written = annotate_scalar()
    written.save(tmp_path / "annotation.safetensors")
    found = Annotation.load(tmp_path / "annotation.safetensors")
    assert (found.lr, found.trajectory) == (0.1, "whole")
    for score in ("lqs", "pds", "learnability", "quality"):
        assert torch.equal(found.contributions(score), written.contributions(score))


def test_a_score_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="score='sum'"):
        annotate_scalar().scores("sum")


def terms(dot_SN: torch.Tensor, norm_SN: torch.Tensor, later_norm_SN: torch.Tensor) -> Annotation:
    """One scored step, the third."""
    one, step = torch.ones(1), torch.tensor([2])
    return Annotation(0.1, step, dot_SN, norm_SN, later_norm_SN, one, one, one, "whole")


def test_a_run_that_diverges_is_an_error() -> None:
    model, run = tiny_model(), tiny_run()
    with pytest.raises(DivergedError, match=r"before update 2 is (nan|inf); lower scorer\.lr \(1e\+30\)"):
        annotate(model, **run, settings=tiny_settings(lr=1e30))


def summed_target_loss(settings: AnnotationSettings, extra: int | None, epsilon: float) -> float:
    """Sum over t = 1..T of J(theta_t), with epsilon times the loss of document `extra` in every update's loss."""
    model, run = tiny_gpt2(), tiny_run()
    parameters, total = list(model.parameters()), 0.0

    def mean_loss(samples: list[object]) -> torch.Tensor:
        (_, batch), *_ = micro_batches(samples, range(len(samples)), len(samples), torch.device("cpu"))
        return sample_losses(model, batch, CrossEntropy()).mean()

    for samples in run["train_batches"]:
        loss = mean_loss(samples)
        if extra is not None:
            loss = loss + epsilon * mean_loss([run["documents"][extra]])
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= settings.lr * gradient
        total += mean_loss(run["target"]).item()
    return total


@pytest.mark.slow
def test_pds_is_the_derivative_of_the_summed_target_loss() -> None:
    settings = tiny_settings(interval=1, lr=0.2)
    scores_N = annotate(tiny_gpt2(), **tiny_run(), settings=settings).scores("pds")
    step = 1e-5
    differences_N = [
        (summed_target_loss(settings, n, -step) - summed_target_loss(settings, n, step)) / (2 * step)
        for n in range(len(scores_N))
    ]
    assert torch.corrcoef(torch.stack([scores_N, torch.tensor(differences_N, dtype=torch.float64)]))[0, 1] >= 0.999
    assert scores_N.tolist() == pytest.approx(differences_N, rel=1e-5)
