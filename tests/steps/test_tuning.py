"""The learning rate of a run: that of its model, a small part of it, or the best on documents left out of training."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from delt_exp.config.build import CONF
from delt_exp.config.compose import composed
from delt_exp.errors import ConfigError, DivergedError
from delt_exp.model.cost import Sizes
from delt_exp.report.cautions import cautions
from delt_exp.report.cost import training_flops, training_seconds
from delt_exp.report.flow import rates
from delt_exp.steps.components import build_components
from delt_exp.steps.costs import training_costs
from delt_exp.trainer.protocol import Protocol
from tests.runs import arrays, command, records, write_texts

pytestmark = pytest.mark.slow

RUN = ("scorer=length", "orderer=shuffle", "training.validation_share=0.25", "model.optimizer.lr=0.01")
TUNED = (*RUN, "training.protocol=tuned")


def run(patch, folder, *overrides):
    """Run in `folder` and return the newest record."""
    patch.chdir(folder)
    command(patch, *overrides)
    return records()[-1]


def models(record):
    """Return the training runs that a record names, with whether they were cached."""
    return {stage["key"]: stage["cached"] for stage in record["stages"] if stage["stage"] == "model"}


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    write_texts(folder)
    return folder


@pytest.fixture(scope="module")
def tuned(texts):
    """Of a rate at which nothing is learnt, a sound one and one at which everything breaks, the sound one is best."""
    with pytest.MonkeyPatch.context() as patch:
        return texts, run(patch, texts, *TUNED, "training.tuned_ratios=[1000, 1, 1e-6]")


def test_the_planted_best_rate_is_used_and_told(tuned):
    _, record = tuned
    protocol = record["training"]["protocol"]
    assert (protocol["name"], protocol["lr"]) == ("tuned", 0.01)
    assert [row["lr"] for row in protocol["tried"]] == pytest.approx([1e-8, 0.01, 10])
    losses = [math.inf if row["loss"] is None else row["loss"] for row in protocol["tried"]]
    assert losses[1] == min(losses)
    assert losses[0] == pytest.approx(math.log(257), rel=0.05)  # bytes at random: nothing was learnt
    assert rates(record)[0].startswith("learning rate 0.01, tuned by the loss on ")
    told = cautions(record, protocol["documents"])  # what is left out on purpose is no lack of budget
    assert not any("learning rate" in one.text or "not trained on" in one.text for one in told)


def test_the_loss_is_that_of_the_documents_left_out_which_are_kept_but_never_trained(tuned):
    """By a plain loop over the documents that no step of the run consumed."""
    folder, record = tuned
    name = folder / "outputs" / "runs" / record["name"]
    order = arrays(name)
    left_out = np.flatnonzero(order["step"] < 0)
    assert len(left_out) == record["training"]["protocol"]["documents"] >= 10
    assert len(order["row"]) == 80
    network, tokenizer = (kind.from_pretrained(name / "model") for kind in (AutoModelForCausalLM, AutoTokenizer))
    texts = [line.split('"')[3] for line in (folder / "train.jsonl").read_text().splitlines()]
    total = count = 0
    for row in order["row"][left_out]:
        ids = tokenizer(texts[row], add_special_tokens=False)["input_ids"]
        for start in range(0, len(ids), 32):
            window = ids[start : start + 32]
            read = torch.tensor([[tokenizer.eos_token_id, *window]]) if start == 0 else None
            if read is None:
                read = torch.tensor([[ids[start - 1], *window]])
            with torch.no_grad():
                logits = network(read).logits[0, :-1].double()
            total += float(torch.nn.functional.cross_entropy(logits, torch.tensor(window), reduction="sum"))
            count += len(window)
    assert record["training"]["protocol"]["tried"][1]["loss"] == pytest.approx(total / count, rel=1e-4)


def test_all_rates_are_charged(tuned):
    _, record = tuned
    own = next(stage for stage in record["stages"] if stage["stage"] == "model" and stage["role"] == "model")
    assert len(models(record)) == 3
    assert training_seconds(record) > 2 * own["cost"]["build_seconds"] > 0
    assert training_flops(record) == 3 * record["training"]["flops"]


def test_an_interrupted_search_goes_on_with_the_rates_that_are_missing(tuned, monkeypatch):
    """Killed in the second of three training runs."""
    from delt_exp.trainer import stage as module

    folder, _ = tuned
    trained = module.train
    calls = []

    def killed(job, *rest):
        calls.append(job.recipe.optimizer.lr)
        if len(calls) == 2:
            raise KeyboardInterrupt
        trained(job, *rest)

    wanted = (*TUNED, "training.tuned_ratios=[0.5,1.5,2.5]", "baseline=none")
    monkeypatch.setattr(module, "train", killed)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(monkeypatch, folder, *wanted)
    monkeypatch.setattr(module, "train", trained)
    record = run(monkeypatch, folder, *wanted)
    assert sorted(models(record).values()) == [False, False, True]
    assert record["order_verified"]


def test_a_tiny_rate_is_the_same_training_run_as_that_rate_and_fixed_asks_for_none_of_the_other_keys(
    tuned, monkeypatch
):
    folder, _ = tuned
    tiny = run(monkeypatch, folder, *RUN, "training.protocol=tiny_rate", "training.tiny_ratio=0.5")
    given = run(monkeypatch, folder, *RUN, "model.optimizer.lr=0.005", "training.tuned_ratios=[1,2,3]")
    assert models(tiny).keys() == models(given).keys()
    assert all(models(given).values())
    assert tiny["training"]["protocol"] == {"name": "tiny_rate", "lr": 0.005}
    assert given["training"]["protocol"] == {"name": "fixed", "lr": 0.005}


def test_a_baseline_tunes_its_own_rate(tuned, monkeypatch):
    folder, _ = tuned
    wanted = ("training.tuned_ratios=[1,2]", "baseline=shuffle", "orderer=sorting", "selector.ratio=0.7")
    record = run(monkeypatch, folder, *TUNED, *wanted)
    assert record["baseline"]["answers"]
    roles = [stage["role"] for stage in record["stages"] if stage["stage"] == "model"]
    assert sorted(roles) == ["baseline", "baseline", "learning rate", "model"]
    assert any("is the smallest" in one.text or "is the largest" in one.text for one in cautions(record, 0))


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("training.validation_share=0.01",), "leaves . of 80 kept documents out to compare learning rates on"),
        (("training.tuned_ratios=[1]",), r"training.tuned_ratios is \[1\]; give at least two shares"),
        (("training.protocol=best",), "training.protocol"),
        (("training.tiny_ratio=0",), "training.tiny_ratio"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_anything_is_scored(texts, monkeypatch, capsys, overrides, told):
    import re

    with pytest.raises((SystemExit, ConfigError)):
        run(monkeypatch, texts, *TUNED, *overrides)
    said = capsys.readouterr()
    assert re.search(told, said.err + said.out)


def test_preferences_have_no_loss_to_tune_by():
    from types import SimpleNamespace

    recipe = SimpleNamespace(objective=SimpleNamespace(rows_per_sample=2))
    with pytest.raises(ConfigError, match=r"training\.protocol=tuned compares rates by the loss on held-out documents"):
        Protocol("tuned", 0.03, [0.5, 1.0], 0.1).check(recipe)


def test_where_every_rate_diverges_the_run_ends(monkeypatch):
    from types import SimpleNamespace

    from delt_exp.steps import tuning

    job = SimpleNamespace(recipe=SimpleNamespace(optimizer=SimpleNamespace(lr=3.0)))
    monkeypatch.setattr(tuning, "_tried", lambda *_: tuning._Tried(job, None, 0.0))
    monkeypatch.setattr(tuning, "replace", lambda *_, **__: job)
    monkeypatch.setattr(tuning, "at_ratio", lambda *_: None)
    training = SimpleNamespace(parts=SimpleNamespace(protocol=Protocol("tuned", 0.03, [0.5, 1.0], 0.1)))
    with pytest.raises(DivergedError, match=r"training diverged at every learning rate \(3, 3\)"):
        tuning.tuned(training, job, np.arange(3))


def forecast(*overrides):
    """Return phase -> operations of training, as a dry run forecasts them for 10 documents of 64 tokens."""
    parts = build_components(composed(CONF, ["weighter=dwm", "training.max_tokens=4096", *overrides]))
    sizes = Sizes(np.full(10, 64), 4, 1, SimpleNamespace(vocab_size=257, begin_id=256, eos_id=256))
    return {cost.phase: cost.flops for cost in training_costs(parts, sizes, np.arange(4))}


def test_every_rate_that_is_tried_pays_for_training_and_for_its_weights():
    fixed = forecast()
    assert any(phase.startswith("weights: ") for phase in fixed)
    tuned = forecast("training.protocol=tuned", "training.tuned_ratios=[0.5, 1, 2]")
    assert tuned == pytest.approx({phase: 3 * flops for phase, flops in fixed.items()})
