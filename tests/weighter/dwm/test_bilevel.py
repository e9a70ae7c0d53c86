"""The derivative of the validation loss by the weights of a step: by hand, by finite differences, by golden values."""

import copy
import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from delt_exp.gradients.flat import flatten, trainable_parameters
from delt_exp.gradients.products import add_gradient
from delt_exp.model.objective import CrossEntropy
from delt_exp.model.optimizer import SGD, AdamW, clip_gradients
from delt_exp.weighter.batch_weights import softmax_weights
from delt_exp.weighter.dwm.bilevel import direction_of_weights, products_with_sequences
from tests.gradients.test_golden import GOLDEN, padded
from tests.gradients.tiny import draw_batch, tiny_model

OBJECTIVE = CrossEntropy()
SGD_RULE = SGD(lr=0.2, momentum=0.0, weight_decay=0.0)
ADAM_RULE = AdamW(lr=0.2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the folder of golden values is not beside the checkout")


def derivative(model, rule, optimizer, batch, validation, weights_B, clip_norm=None):
    """dL / dw of one step of sum_i w_i l_i / labels, by the functions under test; the step is made."""
    parameters, num_labels = list(model.parameters()), OBJECTIVE.counts(batch).sum()
    before = copy.deepcopy(model)
    optimizer.zero_grad()
    (weights_B @ OBJECTIVE.losses(model, batch) / num_labels).backward()
    norm = float(clip_gradients(parameters, clip_norm))
    optimizer.step()
    gradient_P = torch.zeros_like(flatten(parameters))
    add_gradient(model, validation, OBJECTIVE, len(validation["labels"]), gradient_P)
    direction_P = direction_of_weights(gradient_P, parameters, rule, optimizer, norm, clip_norm)
    return products_with_sequences(before, batch, OBJECTIVE, direction_P) / num_labels


def test_two_samples_by_hand():
    """l_i = (theta - a_i)^2 / 2 with a = (1, -1), theta = 0, lr 0.1, w = 1/2 each; L = (theta - 2)^2 / 2.

    G = (-1, 1), theta' = 0, dL / dtheta' = -2, so dL / dw = (-0.2, 0.2) and by the logits (-0.1, 0.1): descent favours
    the first sample.
    """
    theta = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([theta], lr=0.1)
    logits = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    shares = softmax_weights(logits) / 2
    (shares.detach() @ (theta - torch.tensor([1.0, -1.0], dtype=torch.float64)).square() / 2).backward()
    optimizer.step()
    v = direction_of_weights(theta.detach() - 2, [theta], SGD_RULE, optimizer, float(theta.grad.norm()), None)
    by_weight = v * torch.tensor([-1.0, 1.0], dtype=torch.float64)
    assert by_weight.tolist() == pytest.approx([-0.2, 0.2])
    (by_weight @ shares).backward()
    assert logits.grad.tolist() == pytest.approx([-0.1, 0.1])


def test_the_slope_of_adams_step_by_hand():
    """m = 0.2, v = 0.04 before step 10, g = 1: m^ = 0.28 / 0.6513, r = sqrt(0.04096 / 0.009955); D = 0.0705174."""
    state = {"step": 10, "exp_avg": torch.tensor([0.28]), "exp_avg_sq": torch.tensor([0.04096])}
    found = ADAM_RULE.slope(
        torch.ones(1, dtype=torch.float64), {k: torch.as_tensor(v).double() for k, v in state.items()}
    )
    assert found.item() == pytest.approx(0.0705174, abs=5e-8)


def test_adams_slope_is_that_of_torchs_own_step():
    parameter = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = torch.optim.AdamW([parameter], lr=1.0, betas=ADAM_RULE.betas, eps=ADAM_RULE.eps, weight_decay=0.0)
    for gradient in ([0.3, -1.0, 1e-6], [0.1, 2.0, -1e-6]):
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    steps = []
    for change in (-1e-9, 1e-9, 0.0):
        copied = copy.deepcopy((parameter, optimizer.state_dict()))
        one = torch.optim.AdamW([copied[0]], lr=1.0, betas=ADAM_RULE.betas, eps=ADAM_RULE.eps, weight_decay=0.0)
        one.load_state_dict(copied[1])
        gradient = torch.tensor([0.2, 0.7, 2e-6], dtype=torch.float64) + change
        copied[0].grad = gradient
        one.step()
        steps.append(parameter.detach() - copied[0].detach())
    slope = ADAM_RULE.slope(gradient, one.state[copied[0]])
    torch.testing.assert_close(slope, (steps[1] - steps[0]) / 2e-9, rtol=1e-5, atol=1e-8)


def test_a_number_that_no_gradient_ever_touched_has_a_finite_slope():
    zero = torch.zeros(1)
    assert ADAM_RULE.slope(zero, {"step": 3, "exp_avg": zero, "exp_avg_sq": zero}).isfinite().all()


@pytest.mark.parametrize("clip_norm", [None, 0.05, 1e3])
@pytest.mark.parametrize(
    "rule", [SGD(0.3, momentum=0.9, weight_decay=0.1), AdamW(0.03, (0.9, 0.95), 1e-8, weight_decay=0.1)]
)
def test_finite_differences_through_clipping_momentum_and_decay(rule, clip_norm):
    model = tiny_model("gpt2", seed=1).eval()  # float64 throughout, unlike Llama
    batch, validation, earlier = draw_batch([5, 9, 0, 7], 2), draw_batch([6, 8, 3], 3), draw_batch([4, 8], 4)
    optimizer = rule.make(model)
    OBJECTIVE.losses(model, earlier).sum().backward()
    optimizer.step()
    weights_B = torch.tensor([0.5, 2.0, 1.0, 0.5], dtype=torch.float64)
    differences = []
    for i in range(4):
        change = 1e-5 * torch.eye(4, dtype=torch.float64)[i]
        low, high = (
            stepped(model, rule, optimizer, batch, validation, weights_B + s * change, clip_norm) for s in (-1, 1)
        )
        differences.append((high - low) / 2e-5)
    found = derivative(model, rule, optimizer, batch, validation, weights_B, clip_norm)
    assert abs(found).max() > 1e-5
    assert found[2] == 0, "it has no label"
    assert found.tolist() == pytest.approx(differences, rel=1e-5, abs=1e-8 * float(abs(found).max()) + 1e-9)


def stepped(model, rule, optimizer, batch, validation, weights_B, clip_norm):
    """The validation loss after a step from a copy of model and optimizer."""
    model, state = copy.deepcopy(model), copy.deepcopy(optimizer.state_dict())
    optimizer = rule.make(model)
    optimizer.load_state_dict(state)
    optimizer.zero_grad()
    (weights_B @ OBJECTIVE.losses(model, batch) / OBJECTIVE.counts(batch).sum()).backward()
    clip_gradients(model.parameters(), clip_norm)
    optimizer.step()
    return float((OBJECTIVE.losses(model, validation) / OBJECTIVE.counts(validation)).detach().mean())


def test_equal_sequences_have_equal_derivatives_and_a_permutation_goes_through():
    batch, validation = draw_batch([5, 9, 4, 7], 2), draw_batch([6, 8, 3], 3)
    batch = {name: value[[0, 1, 1, 2, 3]] for name, value in batch.items()}
    order, weights_B = [3, 0, 4, 2, 1], torch.tensor([0.2, 1.0, 1.0, 2.0, 0.8], dtype=torch.float64)

    def found(rows):
        model = tiny_model("llama", seed=1).eval()
        chosen = {name: value[rows] for name, value in batch.items()}
        return derivative(model, SGD_RULE, SGD_RULE.make(model), chosen, validation, weights_B[rows])

    plain = found([0, 1, 2, 3, 4])
    assert plain[1].item() == pytest.approx(plain[2].item(), rel=1e-9)
    torch.testing.assert_close(found(order), plain[order], rtol=1e-9, atol=1e-12)


@needs_golden
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_golden_values_by_weight_and_by_parameter_of_the_weighting_model(name):
    golden = json.loads((GOLDEN / "dwm" / "golden.json").read_text())
    tensors, expected = load_file(GOLDEN / "dwm" / "tensors.safetensors"), golden["rules"][name]
    sizes = {"n_embd": 4, "n_layer": 1, "n_head": 2, "n_inner": 6, "n_positions": 16}
    drop = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=13, bos_token_id=0, eos_token_id=0, **sizes, **drop))
    rule, named = {"sgd": SGD_RULE, "adam": ADAM_RULE}[name], trainable_parameters(model)
    optimizer = rule.make(model)
    with torch.no_grad():
        for key, parameter in named.items():
            parameter.copy_(tensors[f"initial/{key}"])
            if name == "adam":
                moments = {kind: tensors[f"{kind}/{key}"].clone() for kind in ("exp_avg", "exp_avg_sq")}
                optimizer.state[parameter] = {"step": torch.tensor(10.0), **moments}
    phi = {key: torch.tensor(value, dtype=torch.float64, requires_grad=True) for key, value in golden["phi"].items()}
    features_BF = torch.tensor(golden["features"], dtype=torch.float64)
    logits_B = torch.tanh(features_BF @ phi["W"].T + features_BF.mean(0) @ phi["C"].T) @ phi["a"]
    shares_B = softmax_weights(logits_B) / 4
    assert shares_B.tolist() == pytest.approx(expected["weights"], rel=1e-6)
    batch, validation = padded(golden["batch"]), padded(golden["validation"])
    # The golden loss is sum_i share_i (mean loss_i): weights of this kind times labels of the batch over those of i.
    counts_B = OBJECTIVE.counts(batch).double()
    weights_B = shares_B.detach() / counts_B * counts_B.sum()
    by_share_B = derivative(model, rule, optimizer, batch, validation, weights_B) / counts_B * counts_B.sum()
    with torch.no_grad():  # of the golden loss, too, the mean over samples of each one's mean
        losses_B = OBJECTIVE.losses(model, validation) / OBJECTIVE.counts(validation)
    assert losses_B.mean().item() == pytest.approx(expected["validation_loss_after"], rel=1e-5)
    assert by_share_B.tolist() == pytest.approx(expected["by_weight"], rel=1e-5)
    (by_share_B @ shares_B).backward()
    for key, parameter in phi.items():
        wanted = torch.tensor(expected["by_phi"][key], dtype=torch.float64)
        assert (parameter.grad - wanted).abs().max() <= 1e-5 * wanted.abs().max(), key


def test_a_sequence_alone_cannot_be_weighted():
    logits = torch.tensor([3.7], dtype=torch.float64, requires_grad=True)
    softmax_weights(logits).sum().backward()
    assert logits.grad.item() == 0
