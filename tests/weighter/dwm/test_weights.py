"""Weights learnt in a real training run: the derivative of its own steps, proof, restarts, processes, bad weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from delt_exp.distributed.processes import launch
from delt_exp.distributed.ranks import SingleProcess
from delt_exp.errors import ConfigError, DivergedError
from delt_exp.files import digest, read_json
from delt_exp.model.fresh import FreshNetwork
from delt_exp.model.lora import LoraNetwork
from delt_exp.model.optimizer import SGD, AdamW, clip_gradients
from delt_exp.model.schedule import WarmupCosine
from delt_exp.rows.draws import generator
from delt_exp.store.evidence import Evidence
from delt_exp.trainer.job import SHOWN
from delt_exp.trainer.metrics_file import MetricsFile
from delt_exp.trainer.module import LMModule
from delt_exp.trainer.stage import training_inputs
from delt_exp.trainer.train import train
from delt_exp.weighter.dwm.weighter import DwmWeighter
from delt_exp.weighter.dwm.weights import BilevelWeights
from delt_exp.weighter.none import NoWeighter
from tests.helpers import make_pool, new_folder, tiny_recipe, words
from tests.trainer.test_train import interrupted, job_of, losses, train_ranks, trained, weights
from tests.weighter.test_static import bits

SETTINGS = {
    "num_stages": 2, "weighting_steps": 0.5, "validation_documents": 4, "lr": 0.05, "temperature": 1.0, "floor": 0.0,
    "entropy_weight": 0.0, "width": 8, "seed": 0,
}  # fmt: skip

DROP = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
GPT2 = FreshNetwork("gpt2", {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 16} | DROP)


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Eight steps of eight short documents, and others to validate with."""
    return make_pool(tmp_path_factory.mktemp("dwm"), [f"{i:02} words" for i in range(64)], words(12, seed=9))


def weighter(**changes):
    return DwmWeighter(**SETTINGS | changes)


def learning_job(pool, recipe=None, changes=None, layout="padded", **trainer):
    job = job_of(pool, layout=layout, recipe=recipe, **trainer)
    return replace(job, weighter=weighter(**changes or {}), target=pool.target.tokens)


def given(folder, job):
    """The weights that entered the loss, of all items."""
    consumed = np.load(folder / "consumed.npy", allow_pickle=False)
    return consumed["least_weight"] * job.plan.labels_per_step()[consumed["step"]]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [SGD(0.3, 0.9, 0.1), AdamW(0.02, (0.9, 0.95), 1e-3, 0.1)])
def test_the_derivative_is_that_of_the_training_step_itself(pool, tmp_path, monkeypatch, optimizer):
    """Two steps, the second a weighting step, against differences of a plain loop in float64."""
    recipe = tiny_recipe(
        network=GPT2, optimizer=optimizer, batch_items=6, schedule=WarmupCosine(0, None, 0.5), clip_norm=0.5
    )
    job = learning_job(pool, recipe, {"validation_documents": 3}, micro_batch_items=4)
    job = replace(job, plan=replace(job.plan, num_items=12))
    seen = []
    monkeypatch.setattr(BilevelWeights, "_learn", lambda self, by_weight_B: seen.append(by_weight_B))
    trained(tmp_path, job)
    (found,) = seen
    differences = []
    for i in range(6):
        ends = [_validation_loss(job, np.ones(6) + sign * 1e-4 * np.eye(6)[i]) for sign in (-1, 1)]
        differences.append((ends[1] - ends[0]) / 2e-4)
    assert found.tolist() == pytest.approx(differences, rel=1e-3, abs=1e-3 * max(map(abs, differences)))


def _validation_loss(job, weights_B):
    """The mean over validation documents of their mean losses after two steps, the second with these weights."""
    recipe, plan, tokens = job.recipe, job.plan, job.target
    network = recipe.make_network(job.tokenizer, job.seed).double()
    optimizer = recipe.optimizer.make(network)

    def sums(inputs, labels):
        logits = network(input_ids=torch.from_numpy(inputs)[None]).logits[0]
        return torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels), reduction="sum")

    for step, of_step in enumerate((np.ones(6), weights_B)):
        items = [plan.item(i) for i in range(6 * step, 6 * step + 6)]
        optimizer.zero_grad()
        sum(float(w) * sums(it.inputs, it.labels) for w, it in zip(of_step, items, strict=True)).div(
            sum(len(it.labels) for it in items)
        ).backward()
        clip_gradients(network.parameters(), recipe.clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr(step, 2)
        optimizer.step()
    means = []
    for row in generator(0, "validation documents", 1).choice(len(tokens.ids), 3, replace=False):
        ids = np.concatenate([[tokens.begin_id], tokens.document(row), [tokens.eos_id]]).astype(np.int64)
        ids = ids[: recipe.context_tokens + 1]
        means.append(float(sums(ids[:-1], ids[1:]).detach()) / (len(ids) - 1))
    return np.mean(means)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"micro_batch_items": 3}, {"precision": "bf16-mixed"}])
def test_while_nothing_is_learnt_the_run_is_the_unweighted_one_to_the_bit(pool, tmp_path, monkeypatch, settings):
    """The weighting model begins with equal weights; its steps, left out here, leave the network as it is."""
    monkeypatch.setattr(BilevelWeights, "_learn", lambda self, by_weight_B: None)
    job = learning_job(pool, **settings)
    folders = [trained(tmp_path, one) for one in (job, replace(job, weighter=NoWeighter(), target=None))]
    assert bits(folders[0]) == bits(folders[1])
    assert losses(folders[0]) == losses(folders[1])
    np.testing.assert_allclose(given(folders[0], job), 1, rtol=1e-6)


@pytest.mark.slow
def test_learnt_weights_enter_the_loss_and_are_verified_recorded_and_digested(pool, tmp_path, monkeypatch):
    job, seen, original = learning_job(pool, micro_batch_items=3), [], BilevelWeights.planned

    def planned(self):
        seen.append(original(self).copy())
        return original(self)

    monkeypatch.setattr(BilevelWeights, "planned", planned)
    folder = trained(tmp_path, job)
    result = read_json(folder / "result.json")
    assert (result["order_verified"], result["order_mismatch"]) == (True, "")
    assert result["weights_digest"] == digest(seen[-1])
    np.testing.assert_allclose(given(folder, job), seen[-1], rtol=1e-5)
    by_step = given(folder, job).reshape(8, 8)
    np.testing.assert_allclose(by_step.mean(1), 1)
    assert (seen[-1][:40] == 1).all(), "the first stage, and the first step of the second, before anything is learnt"
    assert (by_step[5:].std(1) > 1e-3).all()


def test_another_weight_than_the_one_that_was_given_is_found_out(pool, tmp_path, monkeypatch):
    original = LMModule.training_step

    def training_step(self, batch, batch_idx):
        given, self.weights = self.weights, lambda batch, losses_B: given(batch, losses_B).flip(0)
        loss = original(self, batch, batch_idx)
        self.weights = given
        return loss

    monkeypatch.setattr(LMModule, "training_step", training_step)
    mismatch = read_json(trained(tmp_path, learning_job(pool)) / "result.json")["order_mismatch"]
    assert "step 6: a loss entered the gradient with another weight than planned" in mismatch


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["packed", "packed_isolated"])
def test_packed_sequences_are_weighted_as_they_are(pool, tmp_path, layout):
    job = learning_job(pool, layout=layout)
    folder = trained(tmp_path, job)
    assert read_json(folder / "result.json")["order_mismatch"] == ""
    assert given(folder, job).std() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("network", [tiny_recipe().network, GPT2])
def test_weights_do_not_depend_on_how_a_batch_is_cut(pool, tmp_path, network):
    recipe = tiny_recipe(network=network)
    whole, cut = (trained(tmp_path, learning_job(pool, recipe, micro_batch_items=size)) for size in (8, 3))
    job = learning_job(pool, recipe)
    np.testing.assert_allclose(given(cut, job), given(whole, job), rtol=2e-3)


@pytest.mark.slow
def test_two_processes_learn_the_weights_of_one(pool, tmp_path):
    folder, single = new_folder(tmp_path), learning_job(pool)
    launch(train_ranks, ([(learning_job(pool, strategy="ddp", devices=2, micro_batch_items=2), folder, None)],), 2)
    assert read_json(folder / "result.json")["order_mismatch"] == ""
    alone = trained(tmp_path, single)
    np.testing.assert_allclose(given(folder, single), given(alone, single), rtol=5e-3)
    for name, value in weights(alone).items():
        torch.testing.assert_close(weights(folder)[name], value, rtol=1e-2, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [3, 6])
def test_a_resumed_run_has_the_same_bits(pool, tmp_path, monkeypatch, killed):
    """Killed in the first stage, and between two weighting steps of the second."""
    job, folder = learning_job(pool, checkpoint_steps=1), new_folder(tmp_path)
    interrupted(job, folder, monkeypatch, killed)
    train(job, folder)
    whole = trained(tmp_path, job)
    assert bits(folder) == bits(whole)
    assert (folder / "consumed.npy").read_bytes() == (whole / "consumed.npy").read_bytes()
    tables = [Evidence(one / SHOWN).read_table("weights") for one in (folder, whole)]
    assert tables[0].equals(tables[1])


@pytest.mark.slow
@pytest.mark.parametrize("micro_batch_items", [8, 3])
def test_weights_of_a_run_with_adapters_are_learnt_through_the_adapters_alone(pool, tmp_path, micro_batch_items):
    recipe = tiny_recipe(network=LoraNetwork(tiny_recipe().network, 2, 4.0, 0.0, ["q_proj", "v_proj"]))
    job = learning_job(pool, recipe, micro_batch_items=micro_batch_items)
    folder = trained(tmp_path, job)
    assert read_json(folder / "result.json")["order_mismatch"] == ""
    assert (given(folder, job).reshape(8, 8)[5:].std(1) > 1e-4).all()


def test_metrics_and_evidence_show_how_unequal_the_weights_were(pool, tmp_path):
    job = learning_job(pool)
    folder = trained(tmp_path, job)
    table, by_step = Evidence(folder / SHOWN).read_table("weights").to_pydict(), given(folder, job).reshape(8, 8)
    effective = by_step.sum(1) ** 2 / np.square(by_step).sum(1)
    np.testing.assert_allclose(table["effective_sample_size"], effective, rtol=1e-5)
    shares = by_step / 8
    np.testing.assert_allclose(table["entropy"], -(shares * np.log(shares)).sum(1), rtol=1e-5)
    assert table["stage"] == [0] * 4 + [1] * 4
    rows = MetricsFile(folder / "metrics.csv").rows()
    np.testing.assert_allclose([row["train/effective_samples"] for row in rows], effective, rtol=1e-5)
    stages = Evidence(folder / SHOWN).read_table("weights_by_stage").to_pydict()
    assert stages["correlation_with_loss"][0] is None, "all weights were equal"
    assert -1 <= stages["correlation_with_loss"][1] <= 1
    assert set(Evidence(folder / SHOWN).contents()["figures"]) == {"weights", "weights_by_stage"}


@pytest.mark.slow
def test_a_target_set_smaller_than_the_validation_documents_is_warned_of(pool, tmp_path):
    warnings = [
        Evidence(trained(tmp_path, learning_job(pool, changes={"validation_documents": count})) / SHOWN).contents()
        for count in (12, 13)
    ]
    assert [len(found["warnings"]) for found in warnings] == [0, 1]
    assert "the target set has 12 documents, fewer than the 13 of" in warnings[1]["warnings"][0]


def test_the_validation_documents_decide_the_model(pool):
    job = learning_job(pool)
    other = replace(job, target=pool.candidates.tokens)
    assert training_inputs(job) != training_inputs(other)


def test_a_permuted_batch_has_permuted_weights(pool):
    job = learning_job(pool)
    network = job.recipe.make_network(job.tokenizer, 0)
    found = job.weighter.open(network, job, SingleProcess())
    torch.nn.init.normal_(found.model.last, generator=torch.Generator().manual_seed(1))
    features, order = torch.randn(6, 16, generator=torch.Generator().manual_seed(0)), [3, 1, 5, 0, 4, 2]
    with torch.no_grad():
        plain = found._weights(features)
        torch.testing.assert_close(found._weights(features[order]), plain[order], rtol=1e-12, atol=0)
    assert plain.mean().item() == pytest.approx(1)
    assert plain.std() > 0.01


def test_a_floor_and_a_temperature_bound_the_weights(pool):
    job = learning_job(pool, changes={"floor": 0.3})
    found = job.weighter.open(job.recipe.make_network(job.tokenizer, 0), job, SingleProcess())
    torch.nn.init.normal_(found.model.last, std=10)
    with torch.no_grad():
        low = found._weights(torch.randn(6, 16))
    assert low.min() >= 0.3
    assert low.mean().item() == pytest.approx(1)


def test_entropy_is_worth_what_its_weight_says(pool):
    """With no other derivative, the step of the weighting model goes towards equal weights."""
    job = learning_job(pool, changes={"entropy_weight": 1.0})
    found = job.weighter.open(job.recipe.make_network(job.tokenizer, 0), job, SingleProcess())
    torch.nn.init.normal_(found.model.last, generator=torch.Generator().manual_seed(1))
    found.features_BF = torch.randn(6, 16, generator=torch.Generator().manual_seed(0))
    spreads = []
    for _ in range(20):
        with torch.no_grad():
            spreads.append(float(found._weights(found.features_BF).std()))
        found._learn(torch.zeros(6, dtype=torch.float64))
    assert spreads[-1] < 0.5 * spreads[0]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda self, features: torch.tensor([np.nan] + [1.0] * 7), "at step 5 of 8 a weight is not finite"),
        (lambda self, features: 8.0 * torch.eye(8)[0].double(), "effective sample size has been below 1.5 of 8 for 3"),
    ],
)
def test_weights_that_are_none_stop_training_with_advice(pool, tmp_path, monkeypatch, bad, message):
    monkeypatch.setattr(BilevelWeights, "_weights", bad)
    monkeypatch.setattr(BilevelWeights, "_learn", lambda self, by_weight_B: None)
    monkeypatch.setattr("delt_exp.weighter.batch_weights.NARROW_STEPS", 3)
    with pytest.raises(DivergedError, match=message):
        trained(tmp_path, learning_job(pool))


def test_fewer_steps_than_stages_are_refused(pool, tmp_path):
    with pytest.raises(ConfigError, match=r"weighter.num_stages is 9, but training has 8 steps"):
        trained(tmp_path, learning_job(pool, changes={"num_stages": 9}))
