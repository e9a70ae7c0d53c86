"""The objective by hand, and that training, evaluation and per-sample gradients are about the same numbers."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from delt_exp.gradients.kernel import per_sample_norms
from delt_exp.gradients.loss import sample_losses
from delt_exp.model.objective import CrossEntropy
from delt_exp.trainer.module import LMModule
from delt_exp.trainer.weights import EqualWeights
from tests.helpers import make_pool, tiny_recipe, words
from tests.trainer.test_train import job_of


class Odds(nn.Module):
    """Predicts token 1 with odds 3 : 1 wherever it reads 0, and 1 : 1 wherever it reads 1."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.tensor([[0.0, math.log(3)], [0.0, 0.0]]))

    def forward(self, input_ids: Tensor, use_cache: bool) -> SimpleNamespace:
        return SimpleNamespace(logits=self.table[input_ids])


BATCH = {
    "input_ids": torch.tensor([[0, 1], [0, 0], [1, 1]]),
    "labels": torch.tensor([[1, 0], [0, -100], [-100, -100]]),
}


def test_losses_are_sums_of_nats_and_counts_are_labels():
    """-log 3/4 - log 1/2; -log 1/4; nothing to predict."""
    losses_B = CrossEntropy().losses(Odds(), BATCH)
    assert losses_B.dtype == torch.float64
    assert losses_B.tolist() == pytest.approx([math.log(8 / 3), math.log(4), 0], rel=1e-6)
    assert CrossEntropy().counts(BATCH).tolist() == [2, 1, 0]


def test_the_gradient_is_probability_minus_label():
    model = Odds()
    CrossEntropy().losses(model, BATCH).sum().backward()
    assert model.table.grad.flatten().tolist() == pytest.approx([1 / 4 - 3 / 4, -1 / 4 + 3 / 4, -1 / 2, 1 / 2])


def test_bookkeeping_in_a_batch_never_reaches_the_network():
    found = CrossEntropy().losses(Odds(), BATCH | {"count": 3, "index": torch.arange(3)})
    assert found.tolist() == CrossEntropy().losses(Odds(), BATCH).tolist()


def test_per_sample_gradients_differentiate_the_same_losses_divided_by_their_counts():
    losses_B, counts_B = CrossEntropy().losses(Odds(), BATCH), CrossEntropy().counts(BATCH)
    means_B = sample_losses(Odds(), BATCH, CrossEntropy())
    assert means_B.dtype == torch.float32
    assert means_B.tolist() == pytest.approx((losses_B / counts_B.clamp(min=1)).tolist(), rel=1e-6)


class Doubled(CrossEntropy):
    def losses(self, network, batch):
        return 2 * super().losses(network, batch)


def test_another_objective_is_what_training_and_per_sample_gradients_use(tmp_path, monkeypatch):
    recipe, pool = tiny_recipe(), make_pool(tmp_path, words(4))
    network = recipe.make_network(pool.resources.tokenizer, seed=0)
    ids = torch.arange(12).view(2, 6)
    batch = {"input_ids": ids, "labels": ids + 1, "count": 12}

    def norms_and_step(objective):
        job = job_of(pool, recipe=tiny_recipe(objective=objective, batch_items=1))
        module = LMModule(network, job)
        module.weights = EqualWeights(job.plan.num_items)
        monkeypatch.setattr(LMModule, "trainer", SimpleNamespace(world_size=1, accumulate_grad_batches=1))
        norms_B = per_sample_norms(network, {"input_ids": ids, "labels": ids + 1}, objective)
        return torch.cat([norms_B, module.training_step(batch, 0).detach()[None]])

    torch.testing.assert_close(norms_and_step(Doubled()), 2 * norms_and_step(CrossEntropy()))
