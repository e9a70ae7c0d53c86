"""Margins and entropies of preferences agree with numbers by hand and with a plain loop over a network."""

import numpy as np
import pytest
import torch

from delt_exp.corpus.pairs import pair
from delt_exp.dataset.base import Document
from delt_exp.errors import ConfigError, DataError
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.proxy.base import ProxyModel
from delt_exp.scorer.preference import PreferenceScorer, margin_and_entropy
from tests.eval_dataset.models import make_model
from tests.helpers import make_pool

PAIRS = [Document(f"yes {'a' * i}", "why? ", rejected=f"no {i}") for i in range(5)]
LONG = Document("c" * 60, "long? ", rejected="no")


def contract_documents(texts):
    """The beginnings of texts as chosen answers, each shorter by a word than the rejected one."""
    return [Document(text[:90], rejected=f"{text[:90]} not") for text in texts]


class Given:
    needs = frozenset()

    def __init__(self, model):
        self.model = model

    def prepare(self, resources, candidates=None, target=None):
        return ProxyModel(str(self.model.pretrained), None, self.model.tokenizer, 64, 128)


def scored(tmp_path, items, **settings):
    model = make_model(tmp_path, 64)
    values = {"measure": "margin", "large": True, "context_tokens": 40} | settings
    pool = make_pool(tmp_path, items)
    return PreferenceScorer(proxy=Given(model), **values).score(pool), pool.candidates.tokens, model


def test_margin_and_entropy_by_hand():
    """Mean log p -2 and -0.5; entropies 1, 2 of the first answer and 6 of the second: 9 / 3."""
    log_p = np.array([[-9.0, -1, -3], [-0.5, -7, -7]])
    entropy = np.array([[9.0, 1, 2], [6, 9, 9]])
    is_answer = np.array([[False, True, True], [True, False, False]])
    np.testing.assert_allclose(margin_and_entropy(log_p[is_answer], entropy[is_answer], is_answer), [[1.5, 3.0]])


@pytest.mark.parametrize("measure", ["margin", "entropy"])
def test_every_pair_has_the_number_of_a_plain_loop(tmp_path, measure):
    scores, tokens, model = scored(tmp_path, PAIRS, measure=measure)
    network = load_causal_lm(model.pretrained)
    for row in range(5):
        rewards, entropies = [], []
        for side in pair(tokens, row, 40):
            places = np.flatnonzero(side.labels != -100)
            with torch.no_grad():
                log_p = network(torch.from_numpy(side.inputs)[None]).logits[0].log_softmax(-1)
            rewards.append(np.mean([float(log_p[t, side.labels[t]]) for t in places]))
            entropies += [float(torch.distributions.Categorical(logits=log_p[t]).entropy()) for t in places]
        expected = abs(rewards[0] - rewards[1]) if measure == "margin" else np.mean(entropies)
        assert scores[row] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("large", "worst"), [(True, "min"), (False, "max")])
def test_a_pair_that_does_not_fit_has_the_worst_score(tmp_path, large, worst, capsys):
    scores, _, _ = scored(tmp_path, [*PAIRS, LONG], large=large)
    assert scores[5] == getattr(scores[:5], worst)()
    said = " ".join(capsys.readouterr().err.split())
    assert "1 of 6 preferences have an answer longer than scorer.context_tokens=40 and get the worst score" in said


def test_the_label_decides_nothing(tmp_path):
    swapped = [Document(d.rejected, d.prompt, rejected=d.text) for d in PAIRS]
    np.testing.assert_allclose(
        scored(tmp_path / "swapped", swapped)[0], scored(tmp_path / "given", PAIRS)[0], rtol=1e-5
    )


def test_the_direction_is_that_of_the_setting():
    assert PreferenceScorer(None, "margin", True, 8).meaning.better == "higher"
    assert PreferenceScorer(None, "margin", False, 8).meaning.better == "lower"


def test_what_is_no_preference_or_too_long_for_the_proxy_is_refused(tmp_path):
    with pytest.raises(DataError, match="train_dataset=hh_rlhf_harmless"):
        scored(tmp_path, ["no preference"])
    with pytest.raises(DataError, match="no preference has answers that fit 40 tokens"):
        scored(tmp_path, [LONG])
    with pytest.raises(ConfigError, match=r"scorer\.context_tokens=200, but .* has 128 positions"):
        scored(tmp_path, PAIRS, context_tokens=200)
