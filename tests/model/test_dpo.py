"""DPO by hand and by its definition: losses, gradients, and what is and is not compared."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import logsigmoid

from delt_exp.corpus.tokens import IGNORED
from delt_exp.errors import ConfigError
from delt_exp.model.dpo import DPO


def dpo(**changes):
    return DPO(**{"beta": 0.1, "label_smoothing": 0.0, "length": "sum", "reference": "start"} | changes)


class TwoRows(nn.Module):
    """Gives the label 0 of row r the log probability -z_r, one position a row."""

    def __init__(self, *log_probabilities):
        super().__init__()
        self.z_R = nn.Parameter(torch.tensor(log_probabilities, dtype=torch.float64))

    def forward(self, input_ids, use_cache):
        rest_R = torch.log1p(-self.z_R.exp())
        return SimpleNamespace(logits=torch.stack([self.z_R, rest_R], 1)[:, None])


def batch(*reference):
    ones = torch.zeros(len(reference), 1, dtype=torch.long)
    return {"input_ids": ones, "labels": ones, "reference": torch.tensor(reference, dtype=torch.float64)}


def test_the_loss_and_its_gradient_by_hand():
    """log p (-12, -15), reference (-13, -14): h = 0.2, loss 0.5981389, factor -0.0450166."""
    network = TwoRows(-12.0, -15.0)
    (loss,) = losses_P = dpo().losses(network, batch(-13.0, -14.0))
    losses_P.sum().backward()
    assert float(loss.detach()) == pytest.approx(0.5981389, abs=1e-7)
    assert network.z_R.grad.tolist() == pytest.approx([-0.0450166, 0.0450166], abs=1e-5)


def test_at_the_reference_the_loss_is_log_2_and_the_factor_half_of_beta():
    network = TwoRows(-2.0, -3.0)
    losses_P = dpo().losses(network, batch(-2.0, -3.0))
    losses_P.sum().backward()
    assert losses_P.tolist() == pytest.approx([math.log(2)])
    assert network.z_R.grad.tolist() == pytest.approx([-0.05, 0.05], rel=1e-6)


def test_swapped_roles_negate_the_margin():
    one, other = (dpo().margins(TwoRows(*z), batch(*z0)) for z, z0 in [((-1, -4), (-2, -3)), ((-4, -1), (-3, -2))])
    assert one.tolist() == pytest.approx([0.2])
    assert other.tolist() == pytest.approx([-0.2])


def test_identical_answers_have_the_gradient_zero():
    parameter = nn.Parameter(torch.tensor(-2.0, dtype=torch.float64))

    class Same(TwoRows):
        def forward(self, input_ids, use_cache):
            z_R = parameter.repeat(2)
            return SimpleNamespace(logits=torch.stack([z_R, torch.log1p(-z_R.exp())], 1)[:, None])

    dpo().losses(Same(0.0), batch(-1.0, -1.0)).sum().backward()
    assert float(parameter.grad) == 0.0


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_smoothing_is_a_mixture_with_the_swapped_pair(smoothing):
    network, data = TwoRows(-1.0, -4.0), batch(-2.0, -3.0)
    h = torch.tensor(0.2, dtype=torch.float64)
    expected = -(1 - smoothing) * logsigmoid(h) - smoothing * logsigmoid(-h)
    assert dpo(label_smoothing=smoothing).losses(network, data).item() == pytest.approx(expected.item())


def test_a_mean_divides_by_the_tokens_of_each_answer_and_a_prompt_does_not_count():
    logits = torch.randn(2, 4, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([[IGNORED, 1, 2, 3], [IGNORED, IGNORED, 4, IGNORED]])
    data = {"input_ids": labels.clamp(min=0), "labels": labels, "reference": torch.tensor([-3.0, -1.0]).double()}
    log_p = logits.log_softmax(-1)
    chosen = sum(log_p[0, t, labels[0, t]] for t in (1, 2, 3))
    rejected = log_p[1, 2, 4]

    def network(input_ids, use_cache):
        return SimpleNamespace(logits=logits)

    margins = {name: dpo(length=name).margins(network, data).item() for name in ("sum", "mean")}
    assert margins["sum"] == pytest.approx(0.1 * float((chosen + 3) - (rejected + 1)))
    assert margins["mean"] == pytest.approx(0.1 * float((chosen + 3) / 3 - (rejected + 1)))


def test_a_pair_of_empty_rows_is_no_pair():
    empty = {"input_ids": torch.zeros(2, 1).long(), "labels": torch.full((2, 1), IGNORED), "reference": torch.zeros(2)}
    assert dpo().losses(TwoRows(-1.0, -1.0), empty).tolist() == [0.0]
    assert dpo().counts(empty).tolist() == [0]


@pytest.mark.parametrize("changes", [{"beta": 0.0}, {"label_smoothing": 0.5}, {"length": "max"}, {"reference": "none"}])
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(ConfigError, match=f"{next(iter(changes))}=.* is not allowed"):
        dpo(**changes)
