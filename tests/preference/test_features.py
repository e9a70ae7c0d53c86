"""Features of preferences agree with gradients taken one answer at a time, and their picks with golden ones."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from delt_exp.corpus.pairs import pair
from delt_exp.dataset.base import Document
from delt_exp.errors import DeltError
from delt_exp.mapping.pairs import map_pairs
from delt_exp.model.lora import Adapters, adapted
from delt_exp.preference.features import PairGradientJudge, differences
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.statistics.d_optimal import greedy_d_optimal
from tests.eval_dataset.models import make_model
from tests.helpers import make_pool, new_folder

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "gradient" / "activedpo" / "golden.json"
FORMS = {"normalise_each_response": "response", "normalise_difference": "pair", "raw": "none"}
PAIRS = [Document(f"yes {'a' * i}", f"{'why' * i}? ", rejected=f"no {'b' * (5 - i)} {i}") for i in range(5)]
SAME = Document("yes", "really? ", rejected="yes")
NUM_FEATURES = 20_000  # more than the network has parameters: products are close to those of the gradients


def features_of(tmp_path, items, normalise="response", adapters=None, precision="fp32"):
    pool, model = make_pool(tmp_path, items), make_model(tmp_path, 64)
    judge = PairGradientJudge(str(model.pretrained), None, NUM_FEATURES, 0, normalise, 40, adapters, precision)
    tokens, rows = pool.candidates.tokens, np.arange(len(items))
    return map_pairs(pool.resources, tokens, rows, judge, pool.work_dir / "shards", "gradients"), tokens, model


def gradient(network, side):
    """grad log p of the answer of a side, by plain autograd."""
    network.zero_grad()
    log_p = network(torch.from_numpy(side.inputs)[None]).logits[0].log_softmax(-1)
    sum(log_p[t, side.labels[t]] for t in np.flatnonzero(side.labels != -100)).backward()
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.requires_grad]).double().numpy()


@pytest.mark.parametrize("normalise", ["response", "pair", "none"])
def test_products_of_features_are_those_of_plain_gradients(tmp_path, normalise):
    features, tokens, model = features_of(tmp_path, PAIRS, normalise)
    network = load_causal_lm(model.pretrained)
    sides = [side for row in range(5) for side in pair(tokens, row, 40)]
    phi = differences(np.stack([gradient(network, side) for side in sides]), normalise)
    lengths = np.linalg.norm(phi, axis=1)
    errors = (features @ features.T - phi @ phi.T) / np.outer(lengths, lengths)
    assert np.abs(errors).max() < 6 / np.sqrt(NUM_FEATURES)


@pytest.mark.slow
def test_half_precision_gives_the_same_features_but_for_rounding(tmp_path):
    whole, half = (features_of(new_folder(tmp_path), PAIRS, precision=name)[0] for name in ("fp32", "bf16"))
    error_D = np.linalg.norm(half - whole, axis=1) / np.linalg.norm(whole, axis=1)
    assert (error_D > 1e-4).all()
    assert (error_D < 0.1).all()


@pytest.mark.slow
def test_of_adapters_products_are_those_of_their_plain_gradients(tmp_path):
    adapters = Adapters(rank=2, alpha=4.0, dropout=0.5, targets=["q_proj", "v_proj"])
    features, tokens, model = features_of(tmp_path, PAIRS, "response", adapters)
    network = adapted(str(model.pretrained), None, adapters, 0)
    sides = [side for row in range(5) for side in pair(tokens, row, 40)]
    phi = differences(np.stack([gradient(network, side) for side in sides]), "response")
    lengths = np.linalg.norm(phi, axis=1)
    errors = (features @ features.T - phi @ phi.T) / np.outer(lengths, lengths)
    assert np.abs(errors).max() < 6 / np.sqrt(NUM_FEATURES)
    of_all = features_of(tmp_path / "all", PAIRS)[0]
    assert np.abs(of_all @ of_all.T - phi @ phi.T).max() > 0.1


def test_an_answer_whose_gradient_is_0_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("delt_exp.gradients.features.per_sample_features", lambda *_, **__: torch.zeros(10, 3))
    with pytest.raises(DeltError, match=r"document \d \(id [0-9a-f]{16}\).*the gradient of an answer is 0"):
        features_of(tmp_path, PAIRS)


def test_features_of_a_pair_do_not_depend_on_its_batch(tmp_path):
    together, alone = features_of(tmp_path / "five", PAIRS)[0], features_of(tmp_path / "one", PAIRS[3:4])[0]
    np.testing.assert_allclose(alone[0], together[3], atol=1e-5)


def test_the_label_only_turns_the_sign(tmp_path):
    swapped = [Document(d.rejected, d.prompt, rejected=d.text) for d in PAIRS]
    ours, theirs = features_of(tmp_path / "given", PAIRS)[0], features_of(tmp_path / "swapped", swapped)[0]
    np.testing.assert_allclose(theirs, -ours, atol=1e-5)
    picks = [greedy_d_optimal(features, 3, ridge=0.1)[0].tolist() for features in (ours, theirs)]
    assert picks[0] == picks[1]


@pytest.mark.parametrize("normalise", ["response", "pair", "none"])
def test_identical_answers_have_no_direction_and_are_picked_last(tmp_path, normalise):
    features = features_of(tmp_path, [SAME, *PAIRS], normalise)[0]
    assert features.any(axis=1).tolist() == [False] + [True] * 5
    assert greedy_d_optimal(features, 6, ridge=1.0)[0][-1] == 0


@pytest.mark.skipif(not GOLDEN.exists(), reason="the folder of golden values is not beside the checkout")
@pytest.mark.parametrize("number", range(12))
def test_golden_picks_from_the_gradients_of_answers(number):
    golden = json.loads(GOLDEN.read_text())
    run = golden["runs"][number]
    both = np.stack([golden["first_response_gradient"], golden["second_response_gradient"]], axis=1)
    features = differences(both.reshape(2 * len(both), -1), FORMS[run["features"]])
    labelled = np.array(golden["labelled_before"]) if run["before"] != "none" else None
    picks, scores = greedy_d_optimal(features, len(run["picks"]), ridge=run["ridge"], labelled_MK=labelled)
    assert picks.tolist() == run["picks"]
    np.testing.assert_allclose(scores, run["score_when_picked"], atol=1e-6)
