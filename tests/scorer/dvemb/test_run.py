"""The valued run is the run: the same weights as training leaves, derivatives through every part of its updates."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from delt_exp.corpus.tokens import IGNORED, Tokens
from delt_exp.distributed.ranks import SingleProcess
from delt_exp.gradients.flat import flatten, trainable_parameters
from delt_exp.model.optimizer import SGD, AdamW, Optimizer
from delt_exp.model.recipe import Recipe
from delt_exp.model.schedule import WarmupLinear
from delt_exp.scorer.dvemb.capture import parts_of
from delt_exp.scorer.dvemb.job import ValueJob
from delt_exp.scorer.dvemb.update import NOBODY, plan_updates
from delt_exp.scorer.dvemb.value import Descending, value_documents
from delt_exp.scorer.reverse.samples import micro_batches
from delt_exp.trainer.job import TrainJob, plan_for
from delt_exp.trainer.planning import PlanSettings
from delt_exp.trainer.train import train
from tests.helpers import TRAINER, make_pool, tiny_recipe, words
from tests.scorer.dvemb.tiny import settings, tiny_target, tiny_updates
from tests.scorer.lqs.tiny import tiny_gpt2

pytestmark = pytest.mark.slow

PLAIN = SGD(lr=0.3, momentum=0.0, weight_decay=0.0)
MOMENTUM = SGD(lr=0.1, momentum=0.8, weight_decay=0.1)
ADAM = AdamW(lr=0.02, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
OPTIMIZERS = {"plain": PLAIN, "momentum and decay": MOMENTUM, "AdamW": ADAM}
RATES = [0.5, 1.0, 0.7, 0.4]  # of the learning rate


def value_job(folder: Path, recipe: Recipe, **plan: Any) -> ValueJob:
    pool = make_pool(folder, words(60), words(6, seed=8))
    planned = {"layout": "packed", "epochs": 1, "max_tokens": None, "completion_only": False} | plan
    order = np.random.default_rng(0).permutation(60)
    made = plan_for(recipe, pool.candidates.tokens, order, PlanSettings(**planned))
    training = TrainJob(recipe, made, pool.resources.run_tokenizer, TRAINER, 3)
    assert pool.target is not None
    return ValueJob(training, Tokens(pool.target.tokens.folder), [np.arange(6)], settings(), "cpu", False)


@pytest.mark.parametrize("layout", ["packed", "packed_isolated", "padded"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_valued_run_ends_where_training_ends(tmp_path: Path, name: str, layout: str) -> None:
    schedule = WarmupLinear(warmup_steps=2, warmup_ratio=None, min_ratio=0.1)
    recipe = tiny_recipe(optimizer=OPTIMIZERS[name], schedule=schedule, clip_norm=0.8)
    job = value_job(tmp_path / "texts", recipe, layout=layout, epochs=2)
    network = job.network()
    run = job.run(network, SingleProcess())
    begin = run.theta
    clipped = []
    states = job.descending().states(run, network, SingleProcess(), "")
    states.run_forward(run.num_steps, lambda step, loss, norm: clipped.append(states.clip_factor(norm) < 1))
    train(job.training, tmp_path / "trained")
    trained = load_file(tmp_path / "trained" / "model" / "model.safetensors")
    expected = flatten(trained[key] for key in trainable_parameters(network))
    assert any(clipped)
    moved = (expected - begin).norm()
    # Rounding alone: a micro-batch sums in another order, and Adam divides by moments near 0.
    assert (run.theta - expected).norm() < 2e-3 * moved
    assert moved > 0.3


def losses_after(
    optimizer: Optimizer, clip_norm: float | None, changed: tuple[int, int, float] | None, rates: list[float] = RATES
) -> torch.Tensor:
    """Losses of both groups of the target after training by torch itself, one occurrence with another weight."""
    model = tiny_gpt2()
    torch_optimizer = replace(optimizer).make(model)

    def losses(samples: Any) -> torch.Tensor:
        (_, batch), *_ = micro_batches(samples, range(len(samples)), len(samples), torch.device("cpu"))
        logits = model(input_ids=batch["input_ids"], use_cache=False).logits
        labels = batch["labels"]
        chosen = logits.log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
        is_label = labels != IGNORED
        return -(chosen * is_label).sum(1) / is_label.sum(1)

    for step, update in enumerate(tiny_updates(len(rates))):
        weights = update.weights_B.clone()
        if changed is not None and changed[0] == step:
            weights[changed[1]] *= 1 - changed[2]
        torch_optimizer.zero_grad()
        (losses(update.samples) @ weights).backward()
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        for group in torch_optimizer.param_groups:
            group["lr"] = rates[step] * optimizer.lr
        torch_optimizer.step()
    return torch.stack([losses(group).mean() for group in tiny_target()]).detach()


@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_values_are_derivatives_through_torchs_own_updates(name: str, clip_norm: float | None, is_whole: bool) -> None:
    optimizer = OPTIMIZERS[name]
    descending = Descending(optimizer, [rate * optimizer.lr for rate in RATES], clip_norm)
    found = value_documents(
        tiny_gpt2(), tiny_updates(len(RATES)), tiny_target(), descending, settings(), is_whole=is_whole
    ).value_NG
    scale = found.abs().max().item()
    for step, place in ((0, 0), (0, 3), (1, 1), (2, 4), (3, 2)):
        high, low = (losses_after(optimizer, clip_norm, (step, place, sign * 1e-4)) for sign in (1, -1))
        expected = ((high - low) / 2e-4).tolist()
        assert found[5 * step + place].tolist() == pytest.approx(expected, rel=2e-4, abs=1e-5 * scale)


def removal_correlation(lr: float, is_fixed: bool) -> float:
    """Rank correlation with training 12 updates without each occurrence, over both groups."""
    adam, rates = replace(ADAM, lr=lr), [0.25, 0.5, 0.75, *[1.0] * 9]
    descending = Descending(adam, [rate * lr for rate in rates], None, is_fixed)
    values = value_documents(tiny_gpt2(), tiny_updates(12), tiny_target(), descending, settings()).value_NG
    whole = losses_after(adam, None, None, rates)
    truth = torch.stack([losses_after(adam, None, (n // 5, n % 5, 1.0), rates) - whole for n in range(60)])
    ranks = [numbers.flatten().argsort().argsort().double() for numbers in (values, truth)]
    return torch.corrcoef(torch.stack(ranks))[0, 1].item()


def test_the_derivative_through_adam_ranks_like_retraining_better_than_a_fixed_preconditioner() -> None:
    exact, fixed = (removal_correlation(0.01, is_fixed) for is_fixed in (False, True))
    assert exact > 0.9
    assert exact > fixed


@pytest.mark.parametrize("layout", ["packed", "packed_isolated", "padded"])
def test_every_predicted_token_belongs_to_its_document(tmp_path: Path, layout: str) -> None:
    job = value_job(tmp_path, tiny_recipe(), layout=layout)
    updates, tokens = plan_updates(job.training.plan), job.training.plan.tokens
    seen = dict[int, int]()
    for update in updates:
        assert update.shares.sum().item() == pytest.approx(1)
        assert update.weights_B.sum().item() == pytest.approx(1)
        labels = np.concatenate([sample.labels_T.numpy() for sample in update.samples])
        occurrence = np.concatenate([o.numpy() for o in update.occurrence_BT])
        np.testing.assert_array_equal(occurrence == NOBODY, labels == IGNORED)
        for n, row in enumerate(update.rows_N.tolist()):
            own = labels[occurrence == n]
            seen[row] = seen.get(row, 0) + len(own)
            assert set(own.tolist()) <= {*tokens.document(row).tolist(), tokens.eos_id}
    assert seen == {row: int(tokens.num_predicted[row]) + 1 for row in range(60)}


def test_the_parts_of_an_update_have_the_labels_of_their_occurrence_alone(tmp_path: Path) -> None:
    update = plan_updates(value_job(tmp_path, tiny_recipe()).training.plan)[0]
    parts = parts_of(update)
    counts = [int((part.labels_T != IGNORED).sum()) for part in parts]
    targets = sum(int((sample.labels_T != IGNORED).sum()) for sample in update.samples)
    assert (update.shares * targets).tolist() == pytest.approx(counts)
