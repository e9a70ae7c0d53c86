"""Preferences are measured by hand-worked numbers, by a plain loop over a network, and pair by pair."""

import math
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from delt_exp.corpus.pairs import pair
from delt_exp.dataset.base import Document
from delt_exp.errors import DataError
from delt_exp.eval_dataset.preferences import Preferences, preference_measures
from delt_exp.model.hf import PretrainedNetwork
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.store.store import Store
from tests.eval_dataset.models import make_model
from tests.helpers import ListDataset, make_resources

PAIRS = [Document(f"yes {'a' * i}", "why? ", rejected=f"no {i}") for i in range(5)]


def evaluated(tmp_path, model, items=tuple(PAIRS), limit=None):
    resources = make_resources(Store(tmp_path / "store", verify="hash"), model.tokenizer)
    part = Preferences(ListDataset(items), limit)
    part.prepare(resources)
    evaluation = part.evaluate("pairs", model, resources)
    return {measure.metric: measure for measure in evaluation.measures}, evaluation


def test_measures_by_hand():
    """Margins 0.2, -1, 0: two thirds of a pair and a half are right."""
    numbers = np.array([[[-12, -13, 2.0], [-15, -15.8, 1]], [[-3, -2, 1.0], [-4, -4, 1]], [[-5, -5, 0.0], [-6, -6, 0]]])
    tokens = np.array([[4, 5], [2, 2], [4, 3]])
    found = {m.metric: (m.value, m.stderr) for m in preference_measures(numbers, tokens)}
    assert found["reward_accuracy"] == pytest.approx((0.5, math.sqrt(0.25 / 3)))
    assert found["margin"][0] == pytest.approx(-0.8 / 3)
    assert found["margin"][1] == pytest.approx(np.std([0.2, -1, 0], ddof=1) / math.sqrt(3))
    assert found["chosen_log_likelihood"][0] == pytest.approx(-20 / 10)
    assert found["rejected_log_likelihood"][0] == pytest.approx(-25 / 10)
    assert found["kl"][0] == pytest.approx(3 / 10)


def test_a_model_like_its_start_has_no_margin(tmp_path):
    found, _ = evaluated(tmp_path, make_model(tmp_path, 64))
    assert (found["reward_accuracy"].value, found["margin"].value, found["kl"].value) == (0.5, 0.0, 0.0)
    assert found["reward_accuracy"].count == 5


def test_every_pair_has_the_numbers_of_a_plain_loop(tmp_path):
    model, start = make_model(tmp_path, 24), make_model(tmp_path, 24, logit_scale=0.5)
    trained = replace(model, network=PretrainedNetwork(str(start.pretrained), None))
    found, evaluation = evaluated(tmp_path, trained)
    table = pq.read_table(evaluation.folder / "pairs.parquet").to_pydict()
    networks = [load_causal_lm(one.pretrained) for one in (model, start)]
    resources = make_resources(Store(tmp_path / "store", verify="hash"), model.tokenizer)
    tokens = Preferences(ListDataset(PAIRS), None)._read(resources.store, model.tokenizer).tokens
    margins = []
    for row in range(5):
        rewards = []
        for name, side in zip(("chosen", "rejected"), pair(tokens, row, 24), strict=True):
            places = np.flatnonzero(side.labels != -100)
            with torch.no_grad():
                log_p, log_q = (n(torch.from_numpy(side.inputs)[None]).logits[0].log_softmax(-1) for n in networks)
            own, other = (sum(float(z[t, side.labels[t]]) for t in places) for z in (log_p, log_q))
            kl = sum(float((log_p[t].exp() * (log_p[t] - log_q[t])).sum()) for t in places)
            assert table[f"{name}_log_p"][row] == pytest.approx(own, rel=1e-5)
            assert table[f"{name}_reference_log_p"][row] == pytest.approx(other, rel=1e-5)
            assert table[f"{name}_kl"][row] == pytest.approx(kl, rel=1e-4)
            assert table[f"{name}_tokens"][row] == len(places)
            rewards.append(own - other)
        margins.append(rewards[0] - rewards[1])
    assert found["margin"].value == pytest.approx(np.mean(margins), rel=1e-4)
    assert found["reward_accuracy"].value == np.mean(np.array(margins) > 0)
    assert found["kl"].value > 0


def test_pairs_that_do_not_fit_are_left_out_and_said(tmp_path, capsys):
    found, evaluation = evaluated(tmp_path, make_model(tmp_path, 7))
    assert found["margin"].count == 3  # "yes aaa" and end-of-text are eight tokens
    assert evaluation.left_out == {"preferences with an answer that does not fit the context": 2}
    assert "2 of 5 pairs do not fit the context" in capsys.readouterr().err
    with pytest.raises(DataError, match=r"pairs: none of 5 pairs .* 3 tokens; use a model with a longer context"):
        evaluated(tmp_path, make_model(tmp_path, 3))


def test_what_the_reader_left_out_is_left_out_of_the_evaluation_too(tmp_path):
    unread = [Document(left_out=("preferences with the same answer twice",)) for _ in range(3)]
    _, evaluation = evaluated(tmp_path, make_model(tmp_path, 64), items=(*unread, *PAIRS))
    assert evaluation.left_out == {"preferences with the same answer twice": 3}


def test_documents_without_preferences_are_refused_before_training(tmp_path):
    with pytest.raises(DataError, match="not every document has a rejected answer"):
        evaluated(tmp_path, make_model(tmp_path, 64), items=("plain",))


def test_a_limit_takes_the_first_pairs(tmp_path):
    found, _ = evaluated(tmp_path, make_model(tmp_path, 64), limit=2)
    assert found["margin"].count == 2
