"""Weights by hand, in training and in its proof; equal ones are plain training to the bit."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn.functional import cross_entropy

from delt_exp.distributed.processes import launch
from delt_exp.distributed.ranks import SingleProcess
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import read_json
from delt_exp.trainer.job import Setup, Update, plan_for
from delt_exp.trainer.module import LMModule
from delt_exp.trainer.planning import PlanSettings
from delt_exp.trainer.stage import training_inputs
from delt_exp.trainer.train import train
from delt_exp.weighter.none import NoWeighter
from delt_exp.weighter.static import ItemWeights, StaticWeighter, batch_softmax
from tests.helpers import make_pool, new_folder, tiny_recipe, words
from tests.trainer.test_train import interrupted, job_of, losses, train_ranks, trained, weights

PADDED = PlanSettings("padded", epochs=1, max_tokens=None, completion_only=False)


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return make_pool(tmp_path_factory.mktemp("weights"), words(21))


def weighted_job(pool, goodness=None, temperature=1.0, **settings):
    if goodness is None:
        goodness = np.linspace(-1, 2, len(pool.candidates), dtype=np.float32)
    job = job_of(pool, layout="padded", **settings)
    return replace(job, weighter=StaticWeighter(temperature, table=None), goodness=goodness)


def bits(folder):
    return (folder / "model" / "model.safetensors").read_bytes()


def test_the_softmax_of_each_batch_has_mean_1():
    """exp(0) : exp(log 3) = 1 : 3 in a batch of two; one alone in the last batch."""
    found = batch_softmax(np.array([0, np.log(3), 1000.0, 1000.0, 7.0]), 2)
    np.testing.assert_allclose(found, [0.5, 1.5, 1, 1, 1])


def test_every_piece_of_a_document_has_its_weight(tmp_path):
    """Goodness -1 and 1 has mean 0 and deviation 1: weights e^-1 and e, for both pieces of the second document."""
    pool = make_pool(tmp_path, ["short", "a document of more than sixteen bytes"])
    recipe = tiny_recipe(batch_items=4, context_tokens=20)
    settings = PlanSettings("padded", epochs=1, max_tokens=None, completion_only=False)
    plan = plan_for(replace(recipe, batch_items=3), pool.candidates.tokens, np.array([0, 1]), settings)
    job = replace(weighted_job(pool, recipe=replace(recipe, batch_items=3)), plan=plan, goodness=np.float32([-1, 1]))
    found = job.weighter.open(None, job, SingleProcess()).planned()
    expected = np.exp([-1, 1, 1])
    np.testing.assert_allclose(found, expected / expected.mean())


def test_training_minimises_the_weighted_sum_over_the_tokens_of_the_batch(pool, tmp_path):
    """The first step, against a plain loop."""
    job = weighted_job(pool)
    steps = np.load(trained(tmp_path, job) / "steps.npy", allow_pickle=False)
    planned, network = (
        job.weighter.open(None, job, SingleProcess()).planned(),
        job.recipe.make_network(job.tokenizer, 0),
    )
    items = [job.plan.item(i) for i in range(job.plan.batch_items)]
    for weight, item in zip(planned, items, strict=False):
        logits = network(input_ids=torch.from_numpy(item.inputs)[None]).logits[0]
        loss = cross_entropy(logits, torch.from_numpy(item.labels), reduction="sum")
        (float(weight) * loss / sum(len(item.labels) for item in items)).backward()
    norm = torch.stack([p.grad.norm() for p in network.parameters()]).norm()
    assert steps["grad_norm"][0] == pytest.approx(float(norm), rel=1e-5)


def test_metrics_say_how_many_sequences_of_the_last_step_count_in_effect():
    weights = ItemWeights(np.array([1.0, 1, 1, 1, 3, 1, 0, 0, 2, 0]), 4)
    found = []
    for step in range(3):
        weights.after_step(Update(step, None, None))
        found.append(weights.metrics()["train/effective_samples"])
    assert found == [4.0, 1.6, 1.0]


@pytest.mark.parametrize("settings", [{}, {"micro_batch_items": 3}, {"precision": "bf16-mixed"}])
def test_equal_weights_are_plain_training_to_the_bit(pool, tmp_path, settings):
    weighted = weighted_job(pool, goodness=np.full(len(pool.candidates), 0.1, np.float32), **settings)
    plain = replace(weighted, weighter=NoWeighter(), goodness=None)
    folders = [trained(tmp_path, job) for job in (weighted, plain)]
    assert bits(folders[0]) == bits(folders[1])
    assert losses(folders[0]) == losses(folders[1])


def test_weights_are_recorded_and_verified_with_any_micro_batch(pool, tmp_path):
    job = weighted_job(pool, micro_batch_items=3)
    folder = trained(tmp_path, job)
    assert read_json(folder / "result.json")["order_mismatch"] == ""
    consumed = np.load(folder / "consumed.npy", allow_pickle=False)
    planned = job.weighter.open(None, job, SingleProcess()).planned()
    assert planned.std() > 0.1
    expected = planned / job.plan.labels_per_step()[consumed["step"]]
    np.testing.assert_allclose(consumed["least_weight"], expected, rtol=1e-5)
    np.testing.assert_allclose(consumed["largest_weight"], expected, rtol=1e-5)


def test_other_weights_than_planned_are_found_out(pool, tmp_path, monkeypatch):
    original = LMModule.training_step

    def training_step(self, batch, batch_idx):
        weights, self.weights = self.weights, lambda batch, losses_B: torch.ones_like(losses_B)
        loss = original(self, batch, batch_idx)
        self.weights = weights
        return loss

    monkeypatch.setattr(LMModule, "training_step", training_step)
    mismatch = read_json(trained(tmp_path, weighted_job(pool)) / "result.json")["order_mismatch"]
    assert "step 1: a loss entered the gradient with another weight than planned: those of sequence 1" in mismatch


@pytest.mark.slow
def test_a_resumed_run_has_the_same_bits(pool, tmp_path, monkeypatch):
    job, folder = weighted_job(pool, checkpoint_steps=2), new_folder(tmp_path)
    interrupted(job, folder, monkeypatch, 3)
    train(job, folder)
    assert bits(folder) == bits(trained(tmp_path, job))


@pytest.mark.slow
def test_two_processes_weigh_as_one(pool, tmp_path):
    folder = new_folder(tmp_path)
    jobs = [(weighted_job(pool, strategy="ddp", devices=2, micro_batch_items=2), folder, None)]
    launch(train_ranks, (jobs,), 2)
    assert read_json(folder / "result.json")["order_mismatch"] == ""
    for name, value in weights(trained(tmp_path, weighted_job(pool))).items():
        torch.testing.assert_close(weights(folder)[name], value, rtol=1e-3, atol=1e-4)


class Learnt:
    """Counts its steps; weights alternate 1/2, 3/2 in a batch of 8 and say so to nobody."""

    def __init__(self):
        self.steps = torch.zeros((), dtype=torch.int64)

    def __call__(self, batch, losses_B):
        return torch.tensor([0.5, 1.5], dtype=torch.float64)[batch["index"] % 2]

    def planned(self):
        return None

    def after_step(self, update):
        assert update.step == int(self.steps), "every step is told of once, in order"
        self.steps += 1

    def metrics(self):
        return {}

    def show(self, evidence):
        pass

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]


class LearntWeighter(NoWeighter):
    def open(self, network, job, ranks):
        return Learnt()


@pytest.fixture(scope="module")
def whole_batches(tmp_path_factory):
    """40 documents of one piece each: five batches of 8."""
    pool = make_pool(tmp_path_factory.mktemp("whole"), [f"{i:02} words" for i in range(40)])
    return replace(job_of(pool, layout="padded"), weighter=LearntWeighter())


@pytest.mark.slow
def test_learnt_weights_go_on_from_their_own_state(whole_batches, tmp_path, monkeypatch):
    job, folder = replace(whole_batches), new_folder(tmp_path)
    job = replace(job, trainer=replace(job.trainer, checkpoint_steps=2))
    interrupted(job, folder, monkeypatch, 3)
    train(job, folder)
    assert read_json(folder / "result.json")["order_mismatch"] == ""
    assert bits(folder) == bits(trained(tmp_path, job))


def test_learnt_weights_without_mean_1_are_found_out(whole_batches, tmp_path, monkeypatch):
    monkeypatch.setattr(Learnt, "__call__", lambda self, batch, losses_B: torch.full_like(losses_B, 2))
    mismatch = read_json(trained(tmp_path, whole_batches) / "result.json")["order_mismatch"]
    assert mismatch == "step 1: the weights of its sequences have the mean 2 and not 1"


def test_a_packed_sequence_has_no_single_weight():
    settings = PlanSettings("packed", epochs=1, max_tokens=None, completion_only=False)
    with pytest.raises(ConfigError, match=r"training.layout is packed: .* use training.layout=padded"):
        StaticWeighter(1.0, table=None).check(Setup(None, settings, None), None, 100)


def test_a_batch_of_one_sequence_has_no_weights():
    settings = PlanSettings("padded", epochs=1, max_tokens=None, completion_only=False)
    with pytest.raises(ConfigError, match=r"model\.batch_items is 1: a sequence alone always has the weight 1"):
        StaticWeighter(1.0, table=None).check(Setup(tiny_recipe(batch_items=1), settings, None), None, 100)


def test_the_weighter_and_the_scores_it_reads_decide_the_model(pool):
    plain = job_of(pool, layout="padded")
    other = np.linspace(1, 0, len(pool.candidates), dtype=np.float32)
    jobs = [plain, weighted_job(pool), weighted_job(pool, temperature=2.0), weighted_job(pool, goodness=other)]
    inputs = [str(training_inputs(job)) for job in jobs]
    assert len(set(inputs)) == 4


@pytest.mark.parametrize("key", ["id", "row"])
def test_weights_of_a_table_are_divided_by_the_mean_of_their_batch(pool, tmp_path, key):
    """In any order, with documents that are not in the corpus; both pieces of a document have its weight."""
    tokens, by_row = pool.candidates.tokens, np.arange(21) % 3 + 0.5
    known = np.asarray(tokens.ids) if key == "id" else np.arange(21)
    keys = np.append(known, known.dtype.type(99))
    order = np.random.default_rng(0).permutation(22)
    table = written(tmp_path, {key: keys[order], "weight": np.append(by_row, 7.0)[order]})
    job = replace(weighted_job(pool), weighter=StaticWeighter(1.0, str(table)), goodness=None)
    job.weighter.check(Setup(job.recipe, PADDED, job.trainer), tokens, 100)
    assert not job.weighter.reads_scores
    folder, plan = trained(tmp_path, job), job.plan
    assert read_json(folder / "result.json")["order_mismatch"] == ""
    raw = by_row[plan.order[plan.document_of(np.arange(plan.num_items))]]
    consumed = np.load(folder / "consumed.npy", allow_pickle=False)
    found = consumed["least_weight"] * plan.labels_per_step()[consumed["step"]]
    np.testing.assert_allclose(found[:8], raw[:8] / raw[:8].mean(), rtol=1e-5)


def test_another_table_of_the_same_name_trains_another_model(pool, tmp_path):
    table = written(tmp_path, {"row": np.arange(21), "weight": np.ones(21)})
    job = replace(weighted_job(pool), weighter=StaticWeighter(1.0, str(table)), goodness=None)
    before = training_inputs(job)
    pq.write_table(pa.table({"row": np.arange(21), "weight": np.arange(1.0, 22)}), table)
    assert training_inputs(job) != before


ROWS = np.arange(21)
BAD_TABLES = {
    "ids as floats": ({"id": ROWS * 1.0, "weight": ROWS}, r"id=0.0 in record 1 is not the .* as a whole number"),
    "other columns": ({"name": ROWS, "weight": ROWS}, r"has the columns name, weight; it needs `weight`, and `id`"),
    "no weight": ({"row": ROWS}, r"has the columns row; it needs `weight`"),
    "a negative weight": ({"row": ROWS, "weight": 1.0 - ROWS}, r"gives row 2 the weight -1.0; a weight is a finite"),
    "not a number": ({"row": ROWS, "weight": np.where(ROWS == 3, np.nan, 1)}, r"gives row 3 the weight nan"),
    "a document twice": ({"row": np.where(ROWS == 5, 4, ROWS), "weight": ROWS}, r"has row 4 2 times; keep one row"),
    "no documents": ({"row": ROWS[:0], "weight": ROWS[:0]}, r"no weight for 21 of 21 documents, the first with row 0"),
    "missing documents": ({"row": ROWS[:19], "weight": ROWS[:19]}, r"no weight for 2 of 21 documents, .* with row 19"),
}


@pytest.mark.parametrize("kind", BAD_TABLES)
def test_bad_tables_are_refused_before_anything_is_computed(pool, tmp_path, kind):
    columns, message = BAD_TABLES[kind]
    weighter = StaticWeighter(1.0, str(written(tmp_path, columns)))
    with pytest.raises(DataError, match=message):
        weighter.check(Setup(None, PADDED, None), pool.candidates.tokens, 100)


def test_a_table_that_is_not_there_or_is_no_table_is_refused(pool, tmp_path):
    with pytest.raises(
        DataError,
        match=r"weighter.table is .*nowhere.parquet, which is not a file; give a Parquet "
        r"file",
    ):
        StaticWeighter(1.0, str(tmp_path / "nowhere.parquet")).check(
            Setup(None, PADDED, None), pool.candidates.tokens, 100
        )
    (tmp_path / "text.parquet").write_text("weight")
    with pytest.raises(DataError, match=r"text.parquet cannot be read as Parquet"):
        StaticWeighter(1.0, str(tmp_path / "text.parquet")).check(
            Setup(None, PADDED, None), pool.candidates.tokens, 100
        )


def test_a_batch_in_which_nothing_counts_is_refused(pool, tmp_path):
    table = written(tmp_path, {"row": ROWS, "weight": np.zeros(21)})
    job = replace(weighted_job(pool), weighter=StaticWeighter(1.0, str(table)), goodness=None)
    with pytest.raises(DataError, match=r"all 8 sequences of step 1 have the weight 0"):
        job.weighter.open(None, job, SingleProcess())


def written(tmp_path, columns):
    path = new_folder(tmp_path) / "weights.parquet"
    pq.write_table(pa.table(columns), path)
    return path
