"""Training on preferences plays its plan pair by pair: as a plain loop, in any batches, after a kill, and proven."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid

from delt_exp.corpus.pairs import pair
from delt_exp.dataset.base import Document
from delt_exp.distributed.processes import launch
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import read_json
from delt_exp.model.dpo import DPO
from delt_exp.model.objective import CrossEntropy
from delt_exp.preference.reference import check_preferences, with_reference
from delt_exp.steps.costs import read_per_predicted
from delt_exp.trainer.datamodule import _Collate
from delt_exp.trainer.job import TrainJob, plan_for
from delt_exp.trainer.module import LMModule
from delt_exp.trainer.pair_plan import PairPlan
from delt_exp.trainer.planning import PlanSettings
from delt_exp.trainer.train import train
from delt_exp.weighter.none import NoWeighter
from delt_exp.weighter.static import StaticWeighter
from tests.helpers import TRAINER, make_pool, new_folder, tiny_recipe
from tests.trainer.test_train import interrupted, losses, train_ranks, trained, weights

ANSWERS = [
    Document(f"yes {i} " + "a" * (i % 7), f"question {i}? ", rejected=f"no {i}" + "b" * (i % 5)) for i in range(21)
]
DPO_TINY = DPO(beta=0.5, label_smoothing=0.1, length="sum", reference="start")
PADDED = PlanSettings(layout="padded", epochs=2, max_tokens=None, completion_only=False)


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return make_pool(tmp_path_factory.mktemp("preferences"), ANSWERS)


def pair_job(pool, objective=DPO_TINY, settings=PADDED, context_tokens=24, network=None, **trainer):
    recipe = tiny_recipe(objective=objective, batch_items=4, context_tokens=context_tokens)
    recipe = recipe if network is None else replace(recipe, network=network)
    order = np.random.default_rng(3).permutation(len(pool.candidates))
    plan = plan_for(recipe, pool.candidates.tokens, order, settings)
    changed = replace(TRAINER, **({"micro_batch_items": 4, "log_steps": 1} | trainer))
    return with_reference(TrainJob(recipe, plan, pool.resources.run_tokenizer, changed, seed=0), pool.resources)


def log_probability(network, side):
    logits_T = network(input_ids=torch.from_numpy(side.inputs)[None]).logits[0]
    is_answer = side.labels != -100
    return logits_T.log_softmax(-1)[is_answer, torch.from_numpy(side.labels[is_answer])].double().sum()


def bare_loop(job):
    """The definition with a frozen copy beside the network."""
    network, frozen = (job.recipe.make_network(job.tokenizer, job.seed) for _ in range(2))
    return pair_loop(job, network, lambda side: log_probability(frozen, side))


def pair_loop(job, network, reference):
    """One pair after the other, plain AdamW; reference: from a side to what its log probability is measured against."""
    recipe, plan, objective = job.recipe, job.plan, job.recipe.objective
    optimizer, recorded = recipe.optimizer.make(network), []
    for step, first in enumerate(range(0, plan.num_items // 2, recipe.batch_items)):
        rows = plan.order[first : first + recipe.batch_items]
        optimizer.zero_grad()
        total = 0.0
        for row in rows:
            sides = pair(plan.tokens, int(row), plan.context_tokens)
            with torch.no_grad():
                before = [reference(side) for side in sides]
            chosen, rejected = (log_probability(network, s) - r for s, r in zip(sides, before, strict=True))
            h, smoothing = objective.beta * (chosen - rejected), objective.label_smoothing
            loss = (-(1 - smoothing) * logsigmoid(h) - smoothing * logsigmoid(-h)) / len(rows)
            loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr(step, plan.num_steps)
        optimizer.step()
        recorded.append(total)
    return network, recorded


def test_the_reference_is_named_by_a_digest_of_its_documents_and_not_by_all_of_them(pool):
    def inputs():
        use = [use for use in pool.resources.store.uses if use.stage == "reference"][-1]
        return read_json(use.path / "entry.json")["inputs"]

    pair_job(pool)
    everything = inputs()
    assert re.fullmatch("[0-9a-f]{16}", everything["documents"])
    pair_job(pool, settings=replace(PADDED, epochs=None, max_tokens=200))
    assert inputs()["documents"] != everything["documents"]


@pytest.mark.slow
def test_training_equals_a_bare_loop_with_a_frozen_copy(pool, tmp_path):
    job = pair_job(pool)
    folder = trained(tmp_path, job)
    network, expected = bare_loop(job)
    np.testing.assert_allclose(losses(folder), expected, rtol=1e-5)
    assert expected[0] == pytest.approx(np.log(2), rel=1e-6)
    for name, value in weights(folder).items():
        torch.testing.assert_close(value, network.state_dict()[name], rtol=1e-3, atol=1e-4)
    result = read_json(folder / "result.json")
    assert result["order_verified"] is True, result["order_mismatch"]
    assert result["tokens"] == job.plan.labels_per_step().sum()
    # All that is read costs, prompts too: 2 forward, 4 backward for each parameter and position.
    read = sum(len(job.plan.item(i).inputs) for i in range(job.plan.num_items))
    assert result["flops"] == 6 * result["parameters"] * read > 6 * result["parameters"] * result["tokens"]


def test_a_forecast_of_a_budget_counts_the_prompts_that_are_read_with_the_answers(pool):
    plan = pair_job(pool).plan
    read = sum(len(plan.item(i).inputs) for i in range(plan.num_items))
    parts = SimpleNamespace(model=pair_job(pool).recipe, training=PADDED)
    found = read_per_predicted(parts, pool.candidates.tokens)
    assert found == pytest.approx(read / plan.labels_per_step().sum())
    assert found > 1


def test_the_trained_order_of_a_budget_ends_with_its_last_pair(pool):
    plan = pair_job(pool, settings=replace(PADDED, epochs=None, max_tokens=200)).plan
    assert 0 < plan.num_items // 2 < len(plan.order)
    np.testing.assert_array_equal(plan.trained_order, plan.order[: plan.num_items // 2])
    np.testing.assert_array_equal(plan.trained_rows, np.unique(plan.trained_order))


@pytest.mark.slow
@pytest.mark.parametrize("micro_batch_items", [1, 2, 6, 50])
def test_loss_does_not_depend_on_accumulation(pool, tmp_path, micro_batch_items):
    folder = trained(tmp_path, pair_job(pool, micro_batch_items=micro_batch_items))
    np.testing.assert_allclose(losses(folder), losses(trained(tmp_path, pair_job(pool))), rtol=1e-5)
    assert read_json(folder / "result.json")["order_verified"] is True


@pytest.mark.slow
def test_several_processes_train_the_same_pairs_with_the_same_loss(pool, tmp_path):
    """Four processes for batches of four pairs and a last one of two, so that two have nothing in it."""
    job, folder = pair_job(pool, strategy="ddp", devices=4, micro_batch_items=2), new_folder(tmp_path)
    launch(train_ranks, ([(job, folder, None)],), 4)
    assert read_json(folder / "result.json")["order_verified"] is True
    np.testing.assert_allclose(losses(folder), losses(trained(tmp_path, pair_job(pool))), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, 5])
def test_resuming_gives_the_same_bits(pool, tmp_path, monkeypatch, step):
    job = pair_job(pool, checkpoint_steps=3)
    undisturbed, folder = trained(tmp_path, job), new_folder(tmp_path)
    interrupted(job, folder, monkeypatch, step)
    train(job, folder)
    models = [place / "model" / "model.safetensors" for place in (folder, undisturbed)]
    assert models[0].read_bytes() == models[1].read_bytes()
    assert losses(folder) == losses(undisturbed)
    assert read_json(folder / "result.json")["order_verified"] is True


@pytest.mark.slow
def test_a_mean_over_tokens_is_verified_too(pool, tmp_path):
    job = pair_job(pool, DPO(beta=1.0, label_smoothing=0.0, length="mean", reference="start"))
    assert read_json(trained(tmp_path, job) / "result.json")["order_mismatch"] == ""


def test_the_reference_is_read_once_and_reused(pool):
    first = pair_job(pool)
    assert np.isfinite(first.reference).all()
    uses = len(pool.resources.store.uses)
    again = pair_job(pool, DPO(beta=2.0, label_smoothing=0.0, length="mean", reference="start"))
    assert (again.reference == first.reference).all()
    assert all(use.cached for use in pool.resources.store.uses[uses:])


class TestPlan:
    def test_items_alternate_between_the_sides(self, pool):
        plan = pair_job(pool).plan
        decode = pool.resources.run_tokenizer.decode
        for k in (0, 5):
            texts = [decode(plan.item(2 * k + side).inputs[1:]) for side in (0, 1)]
            document = ANSWERS[plan.order[k]]
            whole = [document.prompt + answer for answer in (document.text, document.rejected)]
            num_cut = max(0, max(map(len, whole)) - 23)  # of either side, so that the prompts stay the same
            assert texts == [text[num_cut:] for text in whole]
        assert plan.num_steps == 11
        assert plan.counts_per_step().tolist() == [4] * 10 + [2]

    def test_a_budget_of_tokens_is_kept(self, pool):
        settings = PlanSettings(layout="padded", epochs=None, max_tokens=300, completion_only=False)
        plan = pair_job(pool, settings=settings).plan
        targets = plan.labels_per_step()
        assert targets.sum() <= 300
        assert plan.num_items % plan.batch_items == 0
        assert targets.tolist()[:2] == [
            sum(int((plan.item(i).labels != -100).sum()) for i in range(8 * step, 8 * step + 8)) for step in (0, 1)
        ]

    def test_answers_that_do_not_fit_are_left_out_and_counted(self, pool, tmp_path):
        job = pair_job(pool, context_tokens=12)
        lengths = [max(len(d.text), len(d.rejected)) + 1 for d in ANSWERS]
        assert job.plan.num_left_out == sum(length > 12 for length in lengths) > 0
        assert read_json(trained(tmp_path, job) / "result.json")["documents_left_out"] == job.plan.num_left_out
        with pytest.raises(DataError, match=r"the answers of 0 of 21 preferences fit a context of 4 tokens"):
            pair_job(pool, context_tokens=4)

    def test_two_plans_of_the_same_documents_differ_from_each_other(self, pool):
        pairs, plain = pair_job(pool).plan, plan_for(tiny_recipe(), pool.candidates.tokens, np.arange(21), PADDED)
        assert isinstance(pairs, PairPlan)
        assert pairs.digest != plain.digest


def instead_of_batch(patch, change):
    original = _Collate.__call__
    patch.setattr(_Collate, "__call__", lambda self, items: change(original(self, items)))


def pairs_swapped(patch):
    """The rejected answer is trained as the chosen one."""
    order = torch.tensor([1, 0, 3, 2])
    keys = ("input_ids", "labels", "lengths", "reference")
    instead_of_batch(patch, lambda batch: batch | {key: batch[key][order[: len(batch[key])]] for key in keys})


def order_shuffled(patch):
    original = PairPlan.item
    patch.setattr(PairPlan, "item", lambda self, index: original(self, (index + 2) % self.num_items))


def sign_turned(patch):
    original = DPO.margins
    patch.setattr(DPO, "margins", lambda self, network, batch: -original(self, network, batch))


def one_side_detached(patch):
    original = CrossEntropy.losses

    def losses(self, network, batch):
        losses_R = original(self, network, batch)
        return torch.stack([losses_R[::2], losses_R[1::2].detach()], 1).flatten()

    patch.setattr(CrossEntropy, "losses", losses)


def summed_instead_of_averaged(patch):
    original = LMModule.training_step
    patch.setattr(LMModule, "training_step", lambda self, batch, i: original(self, batch | {"count": 1}, i))


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (pairs_swapped, "step 1, sequence 1: other tokens, labels or positions"),
        (order_shuffled, "step 1, sequence 1: other tokens, labels or positions"),
        (sign_turned, "step 1: pair 1 entered the gradient with other weights"),
        (one_side_detached, "step 1: pair 1 entered the gradient with other weights"),
        (summed_instead_of_averaged, "step 1: pair 1 entered the gradient with other weights"),
    ],
)
def test_a_run_that_was_tampered_with_is_not_verified(pool, tmp_path, tamper, reason):
    job = pair_job(pool, DPO(beta=0.5, label_smoothing=0.0, length="sum", reference="start"))
    with pytest.MonkeyPatch.context() as patch:
        tamper(patch)
        result = read_json(trained(tmp_path, job) / "result.json")
    assert result["order_verified"] is False
    assert reason in result["order_mismatch"]


class TestBadInput:
    recipe = tiny_recipe(objective=DPO_TINY)

    def test_packed_layouts_are_refused_with_the_cure(self):
        packed = replace(PADDED, layout="packed")
        with pytest.raises(ConfigError, match=r"layout is packed.*use training.layout=padded"):
            check_preferences(self.recipe, packed, NoWeighter())
        check_preferences(tiny_recipe(), packed, NoWeighter())

    def test_weights_are_refused(self):
        with pytest.raises(ConfigError, match="use weighter=none"):
            check_preferences(self.recipe, PADDED, StaticWeighter(1.0, table=None))

    def test_adapters_off_needs_adapters(self):
        recipe = tiny_recipe(objective=replace(DPO_TINY, reference="adapters_off"))
        with pytest.raises(ConfigError, match=r"adapters_off needs adapters; use model=lora, or .*reference=start"):
            check_preferences(recipe, PADDED, NoWeighter())

    def test_documents_without_preferences_are_refused_with_the_cure(self, tmp_path):
        plain = make_pool(tmp_path, ["one", "two"])
        with pytest.raises(DataError, match=r"not every document has a rejected answer.*train_dataset.rejected"):
            pair_job(plain)

    def test_a_job_without_a_reference_is_refused(self, pool, tmp_path):
        with pytest.raises(ConfigError, match=r"model.objective compares preferences with a reference"):
            train(replace(pair_job(pool), reference=None), new_folder(tmp_path))


def test_cross_entropy_trains_the_chosen_side(pool, tmp_path):
    """The same bits as the same documents without their rejected answers."""
    plain = make_pool(tmp_path, [replace(document, rejected="") for document in ANSWERS])
    models = []
    for one in (pool, plain):
        plan = plan_for(tiny_recipe(), one.candidates.tokens, np.arange(21), PADDED)
        folder = trained(tmp_path, TrainJob(tiny_recipe(), plan, one.resources.run_tokenizer, TRAINER, seed=0))
        models.append((folder / "model" / "model.safetensors").read_bytes())
    assert models[0] == models[1]
