"""Ridge regression on frozen states: against its definition, and as a data scorer."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.data_scorer.annotated import folds_of
from delt_exp.data_scorer.evidence import show_fit
from delt_exp.data_scorer.ridge import Ridge, out_of_fold, ridge, standardised
from delt_exp.data_scorer.validation import spearman
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import read_json
from delt_exp.runtime import Runtime
from delt_exp.store.evidence import Evidence
from tests.data_scorer.tiny import letters, make_proxy, predict, share_of_a
from tests.helpers import RUNTIME, new_folder

TEXTS = letters(400)
RIDGE = Ridge(penalties=(1e-3, 1e-1, 10.0), folds=5, clip_sigma=3.0, seed=0)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    return make_proxy(tmp_path_factory.mktemp("ridge"), TEXTS)


@pytest.fixture
def fit(proxy, tmp_path):
    def run(rows=None, labels=None, *, runtime=RUNTIME, precision="32-true", **changes):
        rows = np.arange(120) if rows is None else rows
        labels = share_of_a([TEXTS[row] for row in rows]) if labels is None else labels
        folder = new_folder(tmp_path)
        fitted = replace(RIDGE, **changes).fit(proxy, proxy.candidates, rows, labels, folder, runtime, precision)
        return fitted, read_json(folder / "fit.json"), folder

    return run


def by_definition(x, y, penalty):
    """Weights and intercept from the normal equations of |y - Xw - b|^2 + penalty |w|^2, b not penalised."""
    with_one = np.column_stack([x, np.ones(len(x))])
    shrink = penalty * np.eye(x.shape[1] + 1)
    shrink[-1, -1] = 0
    solution = np.linalg.solve(with_one.T @ with_one + shrink, with_one.T @ y)
    return solution[:-1], solution[-1]


def unit(x):
    """The mean eigenvalue of the centred Gram matrix."""
    return np.square(x - x.mean(0)).sum() / len(x)


@given(st.integers(0, 1000), st.integers(3, 12), st.integers(1, 15))
def test_weights_and_penalty_are_those_of_refitting_without_each_document(seed, documents, features):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(documents, features)) + 3, rng.normal(size=documents)
    penalties = (0.01, 0.3, 5.0, 100.0)
    errors = []
    for penalty in penalties:
        without = [by_definition(np.delete(x, i, 0), np.delete(y, i), penalty * unit(x)) for i in range(documents)]
        errors.append(sum((y[i] - x[i] @ w - b) ** 2 for i, (w, b) in enumerate(without)))
    weights, chosen = ridge(x, y, penalties)
    assert errors[penalties.index(chosen)] == pytest.approx(min(errors), rel=1e-6)
    np.testing.assert_allclose(weights, by_definition(x, y, chosen * unit(x))[0], atol=1e-9)


def test_one_feature_worked_by_hand():
    # Centred x: -1, 0, 1 and y: -3, 0, 3; Gram matrix of eigenvalues 2, 0, 0. w = 6 / (2 + 1.5 * 2 / 3) = 2.
    weights, chosen = ridge(np.array([[4.0], [5], [6]]), np.array([7.0, 10, 13]), [1.5])
    assert weights == pytest.approx([2.0])
    assert chosen == 1.5


def test_a_prediction_out_of_fold_does_not_depend_on_the_labels_of_its_fold():
    rng = np.random.default_rng(0)
    x, y, fold = rng.normal(size=(40, 8)), rng.normal(size=40), np.arange(40) % 4
    other = np.where(fold == 2, -5 * y, y)
    before, after = (out_of_fold(x, labels, fold, [0.1, 10.0]) for labels in (y, other))
    np.testing.assert_array_equal(before[fold == 2], after[fold == 2])
    assert (before[fold != 2] != after[fold != 2]).all()
    is_in = fold == 1
    weights, _ = ridge(x[~is_in], y[~is_in], [0.1, 10.0])
    np.testing.assert_allclose(before[is_in], (x[is_in] - x.mean(0)) @ weights)


@pytest.mark.slow
def test_a_scorer_that_learned_nothing_has_no_correlation_out_of_fold_and_not_one_below_0():
    """An intercept, the mean of the other folds, would give -0.4 at so strong a penalty."""
    rng, found, with_intercept = np.random.default_rng(0), [], []
    for _ in range(300):
        x, y, fold = rng.normal(size=(40, 5)), rng.normal(size=40), rng.permutation(np.arange(40) % 10)
        predicted = out_of_fold(x, y, fold, [1e4])
        means = np.array([y[fold != f].mean() for f in fold])
        found.append(spearman(predicted, y))
        with_intercept.append(spearman(predicted + means, y))
    assert abs(np.mean(found)) < 0.04
    assert np.mean(with_intercept) < -0.3


def test_features_that_do_not_vary_count_for_nothing():
    states = np.array([[1.0, 5.0, 1e6], [3.0, 5.0, 1e6 + 1e-3], [5.0, 5.0, 1e6]])
    features, scale = standardised(states)
    assert features[:, 0] == pytest.approx([-(1.5**0.5), 0, 1.5**0.5])
    assert scale == pytest.approx([1 / (8 / 3) ** 0.5, 0, 0])
    assert not features[:, 1:].any()
    with pytest.raises(DataError, match="sees the same in all"):
        standardised(states[:, 1:])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_proxy_whose_states_are_not_finite_is_named(bad):
    states = np.arange(6.0).reshape(3, 2)
    states[1, 0] = bad
    with pytest.raises(DataError, match="annotated document 1 are not all finite"):
        standardised(states)


@pytest.mark.parametrize(
    ("architecture", "config"),
    [
        ("gpt2", {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}),
        ("opt", {"hidden_size": 16, "ffn_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                 "word_embed_proj_dim": 8, "max_position_embeddings": 64}),
        ("mamba", {"hidden_size": 16, "state_size": 4, "num_hidden_layers": 1}),
    ],
)  # fmt: skip
def test_other_architectures_are_read_learnt_and_loaded_alike(tmp_path, architecture, config):
    """OPT's first and last states differ in width."""
    proxy = make_proxy(tmp_path, TEXTS[:40], architecture=architecture, config=config)
    fitted = RIDGE.fit(
        proxy, proxy.candidates, np.arange(40), share_of_a(TEXTS[:40]), tmp_path / "fit", RUNTIME, "32-true"
    )
    before = fitted.predict_rows(proxy.candidates, np.arange(40), RUNTIME)
    assert spearman(before, share_of_a(TEXTS[:40])) > 0.5
    assert np.array_equal(RIDGE.load(tmp_path / "fit").predict_rows(proxy.candidates, np.arange(40), RUNTIME), before)


def test_folds_are_random_of_equal_size_and_keep_equal_texts_together():
    ids = np.arange(23, dtype=np.uint64)
    fold = folds_of(ids, 5, 0)
    assert sorted(np.bincount(fold)) == [4, 4, 5, 5, 5]
    assert np.array_equal(folds_of(ids[::-1], 5, 0), fold[::-1])
    assert not np.array_equal(folds_of(ids, 5, 1), fold)
    twins = folds_of(np.repeat(ids, 2), 5, 0)
    assert np.array_equal(twins[::2], twins[1::2])


def test_the_share_of_a_letter_is_learnt_and_predicted_for_unseen_documents_in_its_own_unit(fit, proxy, tmp_path):
    annotated = np.arange(0, 400, 2)
    true = 500 + 20 * share_of_a(TEXTS)
    fitted, summary, _ = fit(annotated, true[annotated])
    unseen = np.arange(1, 400, 2)
    scores = predict(fitted, proxy.candidates, tmp_path / "shards")
    reached = spearman(scores[unseen], true[unseen])
    assert reached > 0.9
    assert np.abs(scores[unseen] - true[unseen]).mean() < 2.5  # of a range of 20; always saying 510 errs by 5
    assert summary["validation"]["low"] < reached < summary["validation"]["high"]
    assert summary["validation"]["learnt"]


def test_a_prediction_is_the_ridge_on_the_mean_states_of_all_layers(fit, proxy):
    rows = np.arange(120)
    fitted, summary, _ = fit(rows)
    states = []
    for row in rows:
        ids = [proxy.tokenizer.eos_id, *proxy.tokenizer.encode([TEXTS[row]])[0], proxy.tokenizer.eos_id]
        with torch.no_grad():
            hidden = proxy.network(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
        states.append(torch.cat([layer[0].mean(0) for layer in hidden]).double().numpy())
    features, _ = standardised(np.array(states))
    y = share_of_a(TEXTS[:120])
    targets = np.clip((y - y.mean()) / y.std(), -3, 3)
    weights, intercept = by_definition(features, targets, summary["penalty"] * unit(features))
    expected = y.mean() + y.std() * (features @ weights + intercept)
    assert fitted.predict_rows(proxy.candidates, rows, RUNTIME) == pytest.approx(expected, abs=1e-4)


def test_the_table_holds_every_document_as_predicted_without_its_fold(fit, proxy):
    rows = np.arange(130)[::-1]
    _, summary, folder = fit(rows)
    table = pq.read_table(folder / "fit.parquet").to_pydict()
    assert table["id"] == proxy.candidates.ids[rows].tolist()
    assert table["annotated"] == share_of_a([TEXTS[row] for row in rows]).tolist()
    assert set(table["split"]) == {"out of fold"}
    assert summary["validation"]["documents"] == 130
    assert summary["validation"]["how"] == "out of fold"
    assert summary["validation"]["spearman"] == spearman(table["annotated"], table["predicted"])
    assert summary["validation"]["spread_ratio"] == np.std(table["predicted"]) / np.std(table["annotated"])


def test_labels_without_relation_to_the_text_are_doubted_on_the_terminal_and_in_the_evidence(fit, capsys, tmp_path):
    _, summary, folder = fit(labels=np.random.default_rng(0).normal(size=120))
    evidence = Evidence(tmp_path / "evidence")
    show_fit(folder, evidence, "LQS")
    assert not summary["validation"]["learnt"]
    assert summary["validation"]["low"] < 0 < summary["validation"]["high"]
    assert "has not been shown to predict the annotations (Spearman" in capsys.readouterr().err
    assert "has not been shown to predict" in evidence.contents()["warnings"][0]
    show_fit(fit()[2], Evidence(tmp_path / "learnt"), "LQS")
    assert "has not been shown" not in capsys.readouterr().err
    assert Evidence(tmp_path / "learnt").contents()["warnings"] == []


def test_the_same_inputs_give_the_same_bits_and_leave_random_state_and_network_alone(fit, proxy):
    before, state = {name: v.clone() for name, v in proxy.network.state_dict().items()}, torch.get_rng_state()
    folders = [fit()[2] for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), state)
    for name in ("fit.parquet", "head.safetensors", "body/model.safetensors"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    assert all(torch.equal(value, before[name]) for name, value in proxy.network.state_dict().items())


@pytest.mark.slow
def test_passes_of_any_size_and_order_of_documents_give_the_same_scorer(fit, proxy):
    shuffled = np.random.default_rng(0).permutation(120)
    fits = [fit(), fit(runtime=Runtime("cpu", 50)), fit(shuffled)]
    scores = [fitted.predict_rows(proxy.candidates, np.arange(400), RUNTIME) for fitted, _, _ in fits]
    for other in scores[1:]:
        assert other == pytest.approx(scores[0], abs=1e-4)


def test_a_loaded_scorer_predicts_the_same_bits(fit, proxy):
    fitted, _, folder = fit()
    loaded, rows = RIDGE.load(folder), np.arange(50)
    expected = fitted.predict_rows(proxy.candidates, rows, RUNTIME)
    assert np.array_equal(loaded.predict_rows(proxy.candidates, rows, RUNTIME), expected)
    assert loaded.digest == fitted.digest


def test_bf16_differs_only_in_rounding(fit, proxy):
    rows = np.arange(120, 400)
    exact, rounded = (
        fit(precision=precision)[0].predict_rows(proxy.candidates, rows, RUNTIME)
        for precision in ("32-true", "bf16-mixed")
    )
    assert not np.array_equal(exact, rounded)
    assert spearman(exact, rounded) > 0.95


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"penalties": ()}, "penalties is empty"),
        ({"penalties": (1.0, 0.0)}, "penalties"),
        ({"folds": 1}, "folds"),
        ({"folds": 121}, "folds=121 is more than the 117 different"),
        ({"clip_sigma": 0.0}, "clip_sigma"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_that_do_not_fit_are_refused(fit, changes, message):
    with pytest.raises(ConfigError, match=message):
        fit(**changes)


def test_labels_that_are_all_equal_are_refused(fit):
    with pytest.raises(DataError, match="standard deviation 0"):
        fit(labels=np.full(120, 1.5))
