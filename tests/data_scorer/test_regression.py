"""The fit: what it learns, what it keeps, what it writes and what it refuses."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from delt_exp.data_scorer import model
from delt_exp.data_scorer.annotated import split, standardise
from delt_exp.data_scorer.fitted import FittedScorer
from delt_exp.data_scorer.validation import spearman
from delt_exp.errors import ConfigError, DataError, DivergedError
from delt_exp.model.fresh import FreshNetwork
from delt_exp.runtime import Runtime
from tests.data_scorer.tiny import SCORER, letters, make_proxy, predict, share_of_a
from tests.helpers import RUNTIME, new_folder

TEXTS = letters(400)
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    return make_proxy(tmp_path_factory.mktemp("proxy"), TEXTS)


@pytest.fixture
def fit(proxy, tmp_path):
    def run(rows=None, labels=None, *, runtime=RUNTIME, precision="32-true", folder=None, **changes):
        rows = np.arange(120) if rows is None else rows
        labels = share_of_a([TEXTS[row] for row in rows]) if labels is None else labels
        folder = folder or new_folder(tmp_path)
        fitted = replace(SCORER, **changes).fit(proxy, proxy.candidates, rows, labels, folder, runtime, precision)
        return fitted, json.loads((folder / "fit.json").read_text()), folder

    return run


@pytest.mark.slow
def test_the_share_of_a_letter_is_learnt_and_predicted_for_unseen_documents_in_its_own_unit(fit, proxy, tmp_path):
    annotated = np.arange(0, 400, 2)
    true = 500 + 20 * share_of_a(TEXTS)
    fitted, summary, _ = fit(annotated, true[annotated], epochs=8)
    assert summary["validation"]["spearman"] > 0.9
    scores = predict(fitted, proxy.candidates, tmp_path)
    unseen = np.arange(1, 400, 2)
    assert np.corrcoef(scores[unseen], true[unseen])[0, 1] > 0.9
    assert np.abs(scores[unseen] - true[unseen]).mean() < 2.5  # of a range of 20; always saying 510 errs by 5


@pytest.mark.slow
def test_the_table_holds_every_annotated_document_as_the_kept_model_sees_it(fit, proxy):
    rows = np.arange(130)[::-1]
    fitted, summary, folder = fit(rows)
    table = pq.read_table(folder / "fit.parquet").to_pydict()
    assert table["id"] == proxy.candidates.ids[rows].tolist()
    assert table["annotated"] == share_of_a([TEXTS[row] for row in rows]).tolist()
    assert table["predicted"] == fitted.predict_rows(proxy.candidates, rows, RUNTIME).tolist()
    is_validation = np.array(table["split"]) == "validation"
    assert is_validation.sum() == summary["validation"]["documents"] == 26
    ranks = [np.argsort(np.argsort(np.array(table[name])[is_validation])) for name in ("annotated", "predicted")]
    assert len(summary["epochs"]) == SCORER.epochs
    best = summary["epochs"][summary["best_epoch"] - 1]["choice_spearman"]
    assert best == max(epoch["choice_spearman"] for epoch in summary["epochs"])
    chose = [row for row, part in enumerate(table["split"]) if part == "choice"]
    columns = [np.array(table[name])[chose] for name in ("annotated", "predicted")]
    assert best == pytest.approx(spearman(*columns), abs=1e-6)
    assert summary["validation"]["spearman"] == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=0.02)  # ties apart


@pytest.mark.parametrize(
    ("curve", "best"), [((0.1, 0.5, 0.3), 2), ((-0.5, -0.2, -0.3), 2), ((None, 0.2, 0.2), 2), ((0.9, 0.1, 0.8), 1)]
)
def test_the_epoch_with_the_highest_spearman_is_kept(fit, monkeypatch, curve, best):
    seen, rest = [], iter(curve)

    def scripted(labels, predicted):
        seen.append(np.array(predicted))
        return next(rest)

    monkeypatch.setattr(model, "spearman", scripted)
    _, summary, folder = fit(epochs=3)
    table = pq.read_table(folder / "fit.parquet").to_pandas()
    kept = table[table["split"] == "choice"]["predicted"].to_numpy()
    mean, std = summary["reading"]["label_mean"], summary["reading"]["label_std"]
    assert summary["best_epoch"] == best
    distances = [np.abs(np.sort(kept) - np.sort(mean + std * predicted)).max() for predicted in seen]
    assert distances[best - 1] < 1e-5
    assert min(distance for epoch, distance in enumerate(distances) if epoch != best - 1) > 1e-3


@pytest.mark.slow
def test_the_same_inputs_give_the_same_bits_and_leave_random_state_and_network_alone(fit, proxy):
    before = {name: value.clone() for name, value in proxy.network.state_dict().items()}
    folders = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        with torch.random.fork_rng():
            draw = torch.rand(1)
        folders.append(fit(body=FreshNetwork("gpt2", GPT2))[2])  # GPT-2 has dropout unless told otherwise
        assert torch.equal(torch.rand(1), draw)
    for name in ("fit.parquet", "head.safetensors", "body/model.safetensors"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    assert all(torch.equal(value, before[name]) for name, value in proxy.network.state_dict().items())


@pytest.mark.slow
def test_passes_of_any_size_train_the_same_model(fit):
    whole, pieces = (fit(runtime=Runtime("cpu", tokens))[1]["epochs"] for tokens in (100_000, 50))
    for a, b in zip(whole, pieces, strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-3)
        assert a["choice_loss"] == pytest.approx(b["choice_loss"], rel=1e-3)


@pytest.mark.slow
def test_a_loaded_scorer_predicts_the_same_bits(fit, proxy):
    fitted, _, folder = fit()
    rows, loaded = np.arange(50), FittedScorer.load(folder)
    expected = fitted.predict_rows(proxy.candidates, rows, RUNTIME)
    assert np.array_equal(loaded.predict_rows(proxy.candidates, rows, RUNTIME), expected)
    assert loaded.digest == fitted.digest


@pytest.mark.slow
def test_bf16_differs_only_in_rounding(fit):
    exact, rounded = (fit(precision=precision)[1]["epochs"][0]["train_loss"] for precision in ("32-true", "bf16-mixed"))
    assert exact != rounded
    assert exact == pytest.approx(rounded, rel=0.05)


def test_standardised_labels_worked_by_hand():
    # Deviations -2, -2, 0, 4, 0 from the mean 2: population variance (4 + 4 + 0 + 16 + 0) / 5 = 4.8.
    targets, mean, std = standardise(np.array([0.0, 0, 2, 6, 2]), clip_sigma=1.5)
    assert mean == 2
    assert std == pytest.approx(4.8**0.5)
    assert targets == pytest.approx([-0.9128709, -0.9128709, 0, 1.5, 0])  # 4 / sqrt(4.8) = 1.83 is clipped


def test_the_split_has_three_parts_is_random_and_seeded_and_keeps_equal_texts_together():
    ids, labels = np.arange(100, dtype=np.uint64), np.arange(200.0)

    def parts(ids, seed=0):
        return split(ids, labels[: len(ids)], choice_ratio=0.11, validation_ratio=0.29, seed=seed)

    first, other = parts(ids), parts(ids, seed=1)
    for found in (first, other):
        assert {name: (found == name).sum() for name in np.unique(found)} == {
            "choice": 11, "train": 60, "validation": 29,
        }  # fmt: skip
    assert np.array_equal(first, parts(ids))
    assert not np.array_equal(first, other)
    assert len(np.unique(first[:29])) == 3
    assert np.array_equal(parts(ids[::-1]), first[::-1])
    twins = parts(np.repeat(ids, 2))
    assert np.array_equal(twins[::2], twins[1::2])


@pytest.mark.slow
def test_the_documents_that_judge_neither_train_nor_choose(fit):
    """Other labels of the validation documents, with the same mean and deviation, change nothing but the judgement."""
    _, before, folder = fit()
    is_validation = split_of_first(fit) == "validation"
    labels = share_of_a(TEXTS[:120])
    labels[is_validation] = np.roll(labels[is_validation], 1)
    _, after, other = fit(labels=labels)
    curves = [[epoch["choice_spearman"] for epoch in summary["epochs"]] for summary in (before, after)]
    assert len(curves[0]) == SCORER.epochs
    assert curves[0] == curves[1]
    assert (folder / "head.safetensors").read_bytes() == (other / "head.safetensors").read_bytes()
    assert after["validation"]["spearman"] != before["validation"]["spearman"]


@pytest.mark.parametrize(
    ("rows", "labels", "error", "message"),
    [
        (range(9), range(9), ConfigError, "at least 10"),
        (range(20), [1.5] * 20, DataError, "standard deviation 0"),
        (range(20), [0.1] * 19 + [np.nan], DataError, "label 19 is nan"),
        (range(20), [0.1] * 19 + [np.inf], DataError, "label 19 is inf"),
        (range(20), range(19), DataError, "one label for each"),
        (range(390, 410), range(20), DataError, "0 .. 399"),
        (range(-1, 19), range(20), DataError, "0 .. 399"),
        (np.arange(20.0), range(20), DataError, "whole numbers"),
    ],
)
def test_labels_that_cannot_be_learnt_are_refused(fit, rows, labels, error, message):
    with pytest.raises(error, match=message):
        fit(np.asarray(rows), np.asarray(labels, float))


def test_settings_that_do_not_fit_are_refused_before_training(fit, proxy, tmp_path):
    with pytest.raises(ConfigError, match=r"validation_ratio holds out 1 of 12"):
        fit(np.arange(12), np.arange(12.0), choice_ratio=0.2, validation_ratio=0.1)
    with pytest.raises(ConfigError, match=r"choice_ratio holds out 0 of 12"):
        fit(np.arange(12), np.arange(12.0), choice_ratio=0.05)
    for choice_ratio in (0.5, 0.6):
        with pytest.raises(ConfigError, match=r"leave none of 120 .*: lower them"):
            fit(choice_ratio=choice_ratio, validation_ratio=0.5)
    with pytest.raises(ConfigError, match="warm-up"):
        fit(epochs=1, batch_documents=100)
    with pytest.raises(ConfigError, match="16 positions"):
        fit(body=FreshNetwork("gpt2", GPT2 | {"n_positions": 16}))
    with pytest.raises(ConfigError, match="precision"):
        fit(precision="16-mixed")
    for name in ("validation_ratio", "choice_ratio"):
        with pytest.raises(ConfigError, match=name):
            replace(SCORER, **{name: 1.0})
    assert not list(tmp_path.glob("*/fit.json"))


@pytest.mark.slow
@pytest.mark.parametrize("part", ["choice", "validation"])
def test_labels_of_documents_that_judge_must_differ(fit, part):
    labels = np.arange(120.0)
    labels[split_of_first(fit) == part] = 7
    with pytest.raises(DataError, match=f"{part} documents have the same label"):
        fit(labels=labels)


def split_of_first(fit):
    table = pq.read_table(fit()[2] / "fit.parquet")
    return np.array(table["split"].to_pylist())


def test_a_diverged_fit_is_an_error_and_not_a_score(fit):
    with pytest.raises(DivergedError, match=r"at step \d+ of \d+ .* lower data_scorer.optimizer.lr \(1e\+30\)"):
        fit(optimizer=replace(SCORER.optimizer, lr=1e30), clip_norm=None)
