"""Annotation of a small language model: golden values, invariances, replay, restart."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from delt_exp.distributed.ranks import SingleProcess
from delt_exp.errors import ConfigError, DataError, StoreError
from delt_exp.gradients.loss import IGNORED
from delt_exp.scorer.lqs.annotate import annotate
from delt_exp.scorer.lqs.annotation import Annotation
from delt_exp.scorer.lqs.problem import LanguageModelProblem
from delt_exp.scorer.reverse.samples import Sample, next_token_sample
from delt_exp.scorer.reverse.trajectory import Trajectory
from tests.scorer.lqs.tiny import draw_samples, tiny_model, tiny_run, tiny_settings

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parents[4] / "shared" / "golden" / "lqs"


def assert_identical(a: Annotation, b: Annotation) -> None:
    for field in fields(Annotation):
        if field.name != "trajectory":
            left, right = (getattr(annotation, field.name) for annotation in (a, b))
            assert torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right, field.name


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the folder of golden values is not beside the checkout")
@pytest.mark.parametrize("trajectory", ["whole", "checkpoints"])
def test_golden_run_is_reproduced(trajectory: str) -> None:
    golden = json.loads((GOLDEN / "golden.json").read_text())
    rules = golden["settings"]

    def sample(token_ids: list[int]) -> Sample:
        ids = torch.tensor(token_ids)
        return Sample(ids[:-1], ids[1:].masked_fill(ids[:-1] == rules["pad_id"], IGNORED))

    train, target, documents = ([sample(ids) for ids in golden[part]] for part in ("train", "target", "proxy"))
    size = rules["batch_size"] * rules["grad_accum"]
    batches = [train[step * size : (step + 1) * size] for step in range(rules["total_steps"])]
    settings = tiny_settings(lr=rules["lr"], interval=rules["score_every"], init_norm="one", gradient_samples=8)
    model, is_whole = AutoModelForCausalLM.from_pretrained(GOLDEN / "model"), trajectory == "whole"
    result = annotate(model, batches, target, documents, settings, is_whole=is_whole)
    assert result.steps_S.tolist() == [9, 6, 3, 0]
    assert result.trajectory == trajectory
    steps = golden["per_checkpoint_in_reverse_time"]
    assert len(steps) == 4
    contribution_SN = result.contributions("lqs")
    for row, step in enumerate(steps):
        assert contribution_SN[row].tolist() == pytest.approx(step["ct"], rel=1e-3)
        assert result.norm_SN[row].tolist() == pytest.approx(step["grad_norm"], rel=1e-3)
    assert result.scores("lqs").tolist() == pytest.approx(golden["score"], rel=1e-3)


@pytest.mark.parametrize("num_steps", [4, 7])
def test_replay_gives_the_stored_states_to_the_bit(num_steps: int) -> None:
    run = tiny_run(num_steps)
    states = {}
    for is_whole in (True, False):
        arguments = (*run.values(), SingleProcess(), 4, 2, None)
        problem = LanguageModelProblem(tiny_model(), *arguments)
        trajectory = Trajectory(problem, [0.1] * num_steps, is_whole, "")
        trajectory.run_forward(num_steps, lambda step, loss, norm: None)
        segments = [trajectory.segment(i) for i in reversed(range(trajectory.num_segments))]
        states[is_whole] = [state for segment in reversed(segments) for state in segment]
    assert len(states[True]) == len(states[False]) == num_steps
    assert all(map(torch.equal, states[True], states[False]))
    assert not torch.equal(states[True][0], states[True][-1])


def test_scores_do_not_depend_on_how_the_trajectory_is_kept() -> None:
    results = [
        annotate(tiny_model(), **tiny_run(), settings=tiny_settings(), is_whole=is_whole)
        for is_whole in (True, False, None)
    ]
    assert [result.trajectory for result in results] == ["whole", "checkpoints", "whole"]
    assert_identical(results[0], results[1])
    assert_identical(results[0], results[2])


# Segments of seven steps: 0 1, 2 3, 4 5, 6. Killed in the first one worked on, in the third, there too, before all.
@pytest.mark.parametrize(
    ("stop_at", "steps_left"), [(("reverse", 1), 7), (("reverse", 4), 4), (("documents", 30), 4), (("forward", 3), 7)]
)
@pytest.mark.parametrize("trajectory", ["whole", "checkpoints"])
def test_a_killed_annotation_continues_with_identical_results(
    tmp_path: Path, stop_at: tuple[str, int], steps_left: int, trajectory: str
) -> None:
    run, settings = tiny_run() | {"is_whole": trajectory == "whole"}, tiny_settings()
    undisturbed = annotate(tiny_model(), **run, settings=settings)
    model, seen = tiny_model(), []

    def kill(phase: str, done: int, total: int) -> None:
        if phase == stop_at[0] and done >= stop_at[1]:
            raise KeyboardInterrupt

    def watch(phase: str, done: int, total: int) -> None:
        seen.append((phase, done, total))

    with pytest.raises(KeyboardInterrupt):
        annotate(model, **run, settings=settings, state_dir=tmp_path, progress=kill)
    resumed = annotate(model, **run, settings=settings, state_dir=tmp_path, progress=watch)
    assert_identical(resumed, undisturbed)
    done_again = [done for phase, done, _ in seen if phase == "reverse"]
    assert done_again == list(range(8 - steps_left, 8))
    assert [path.name for path in tmp_path.iterdir()] == ["reverse.safetensors"]


def test_a_finished_annotation_is_read_back_without_work(tmp_path: Path) -> None:
    run, phases = tiny_run(), []
    first = annotate(tiny_model(), **run, settings=tiny_settings(), state_dir=tmp_path)
    again = annotate(
        tiny_model(), **run, settings=tiny_settings(), state_dir=tmp_path, progress=lambda *call: phases.append(call)
    )
    assert_identical(first, again)
    assert phases == []


@pytest.mark.parametrize("change", ["settings", "documents", "model"])
def test_a_state_of_another_annotation_is_refused(tmp_path: Path, change: str) -> None:
    run, model, settings = tiny_run(), tiny_model(), tiny_settings()
    annotate(model, **run, settings=settings, state_dir=tmp_path)
    if change == "settings":
        settings = tiny_settings(lr=0.06)
    elif change == "documents":
        run["documents"] = draw_samples(9, seed=3)
    else:
        model.lm_head.weight.data[0, 0] += 1
    with pytest.raises(StoreError, match="belongs to another annotation"):
        annotate(model, **run, settings=settings, state_dir=tmp_path)


def test_progress_reaches_its_totals() -> None:
    calls: list[tuple[str, int, int]] = []
    annotate(tiny_model(), **tiny_run(), settings=tiny_settings(), progress=lambda *call: calls.append(call))
    for phase, total in (
        ("forward", 7),
        ("reverse", 7),
        ("documents", 9 * 5),
    ):  # steps 6, 4, 2, 0 and the terminal norms
        done = [call[1] for call in calls if call[0] == phase]
        assert done == sorted(done)
        assert calls[[call[:2] for call in calls].index((phase, total))] == (phase, total, total)


def test_the_model_is_left_as_it_came() -> None:
    model = tiny_model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    annotate(model, **tiny_run(), settings=tiny_settings())
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def scores(settings: dict[str, Any] | None = None, score: str = "lqs", **changes: Any) -> torch.Tensor:
    run = tiny_run() | changes
    return annotate(tiny_model(torch.float64), **run, settings=tiny_settings(**settings or {})).scores(score)


def test_documents_are_scored_alike_in_any_order_company_and_batch_size() -> None:
    documents = tiny_run()["documents"]
    expected = scores()
    order = [4, 0, 8, 2, 6, 1, 7, 3, 5]
    assert torch.allclose(scores(documents=[documents[i] for i in order]), expected[order], rtol=1e-9)
    assert torch.allclose(scores(documents=documents[2:5]), expected[2:5], rtol=1e-9)
    for size in (1, 3, 50):
        found = scores({"gradient_samples": size, "hvp_samples": size})
        assert torch.allclose(found, expected, rtol=1e-9)


def test_equal_documents_tie_to_the_last_bit() -> None:
    documents = tiny_run()["documents"]
    found = annotate(
        tiny_model(),
        **tiny_run() | {"documents": [*documents, documents[3], *reversed(documents)]},
        settings=tiny_settings(gradient_samples=2),
    ).scores("lqs")
    assert found[9] == found[3]
    assert torch.equal(found[10:], found[:9].flip(0))
    assert len(set(found[:9].tolist())) == 9


def test_a_document_of_one_token_scores_zero() -> None:
    documents = [next_token_sample([5]), *tiny_run()["documents"]]
    for score in ("lqs", "pds", "learnability", "quality"):
        assert scores(score=score, documents=documents)[0] == 0


def test_bfloat16_ranks_documents_like_float32() -> None:
    run = tiny_run(num_documents=30)
    exact, rough = (
        annotate(tiny_model(), **run, settings=tiny_settings(precision=precision)).scores("lqs")
        for precision in ("fp32", "bf16")
    )
    assert not torch.equal(exact, rough)
    assert torch.corrcoef(torch.stack([exact, rough]))[0, 1] > 0.99


@pytest.mark.parametrize("name", ["train_batches", "target", "documents"])
def test_nothing_to_work_on_is_an_error(name: str) -> None:
    with pytest.raises(DataError, match=f"{name} is empty"):
        annotate(tiny_model(), **tiny_run() | {name: []}, settings=tiny_settings())


@pytest.mark.parametrize(("name", "value"), [("lr", 0), ("interval", 0), ("precision", "fp16")])
def test_settings_are_checked(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{name}={value!r}"):
        tiny_settings(**{name: value})
