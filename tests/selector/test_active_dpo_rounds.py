"""A run with new answers in each round, as a real process: killed anywhere, and on two processes."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from delt_exp.report.cost import selecting_cost
from tests.helpers import words
from tests.processes import exit_status, start_run
from tests.runs import FAST, arrays, command, records, write_jsonl, write_texts

ROUNDS = (
    'train_dataset.text="{answer}"', 'train_dataset.prompt="{question}"', 'train_dataset.rejected="{other}"',
    "scorer=random", "orderer=shuffle", "eval_dataset=none", "objective@model.objective=dpo", "training.layout=padded",
    "training.epochs=3", "proxy.train_tokens=2000", "model.batch_items=2", "model.optimizer.lr=0.01",
    "selector=active_dpo", "selector.k=12", "selector.per_round=4", "selector.num_features=256",
    "answers@selector.answers=sampled", "selector.answers.max_new_tokens=8", "selector.answers.oracle.train_tokens=500",
    "train_dataset@selector.answers.oracle.dataset=jsonl", "selector.answers.oracle.dataset.path=held_out.jsonl",
    'selector.answers.oracle.dataset.text="{answer}"', 'selector.answers.oracle.dataset.prompt="{question}"',
    'selector.answers.oracle.dataset.rejected="{other}"', "trainer.checkpoint_steps=2",
)  # fmt: skip
REPLACED = ("eval_dataset", "scorer.", "selector.", "model.batch_items", "proxy.train_")
KEPT = [text for text in FAST if not text.startswith(REPLACED)]


def write_preferences(folder: Path) -> None:
    write_texts(folder)
    for name, seed in (("train", 0), ("held_out", 5)):
        texts, others = words(120, seed), words(120, seed + 1)[::-1]
        rows = [{"question": f"{name} {i}? ", "answer": a[:20], "other": b[:20]}
                for i, (a, b) in enumerate(zip(texts, others, strict=True))]  # fmt: skip
        write_jsonl(folder / f"{name}.jsonl", rows)


def killed_when(condition) -> None:
    """Start the run as a process and end it with SIGKILL when the condition on the store holds."""
    process = start_run(*KEPT, *ROUNDS, log=Path("log"))
    while not condition(Path("outputs/store")):
        assert process.is_alive(), Path("log").read_text()
        time.sleep(0.002)
    process.kill()
    assert exit_status(process) == -signal.SIGKILL


def finished(store: Path, stage: str) -> int:
    return len([entry for entry in store.glob(f"{stage}/*/entry.json") if entry.parent.suffix != ".work"])


def ended(monkeypatch, output: str, *overrides: str) -> tuple[dict, dict, dict]:
    """Return the record, the order and the weights of the run in a folder."""
    command(monkeypatch, *ROUNDS, f'output_dir="{output}"', *overrides)
    (record,) = records(Path(output) / "runs")
    folder = Path(output) / "runs" / record["name"]
    return record, arrays(folder), load_file(folder / "model" / "model.safetensors")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The record, the order and the weights of the run of one process that nothing disturbs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("undisturbed"))
        write_preferences(Path())
        return ended(patch, "outputs")


@pytest.mark.slow
def test_a_run_killed_inside_and_between_rounds_keeps_and_trains_the_same_bits(undisturbed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_preferences(tmp_path)
    killed_when(lambda store: finished(store, "rewards") == 1 and list(store.glob("model/*.work/checkpoints/*.ckpt")))
    killed_when(lambda store: finished(store, "pair_features") == 1 and list(store.glob("answers/*.work")))
    assert not records()
    disturbed = ended(monkeypatch, "outputs")
    assert disturbed[0]["order_verified"] is True
    np.testing.assert_array_equal(disturbed[1]["row"], undisturbed[1]["row"])
    for name, weight in undisturbed[2].items():
        np.testing.assert_array_equal(disturbed[2][name], weight)
    stages = [stage["stage"] for stage in undisturbed[0]["stages"]]
    # Rewards of the picks of each round, and of the labels of the dataset, by which the oracle itself is judged.
    assert (stages.count("answers"), stages.count("rewards"), stages.count("pair_features")) == (3, 3 + 1, 3)
    check_selection(undisturbed[0])


def check_selection(record: dict) -> None:
    """What the rounds cost is told from what the run's own model did, and the oracle's worth is on record."""
    spent = [stage["stage"] for stage in record["stages"] if (stage["role"], stage["own"]) == ("selection", False)]
    # The proxy and the models of the second and the third round; the oracle's was made for its rewards.
    assert (spent.count("model"), spent.count("pair_features"), spent.count("agreement")) == (3, 3, 1)
    assert selecting_cost(record).seconds > 0
    assert record["selection"]["flops"] > record["training"]["flops"]
    worth = record["evidence"]["numbers"]["oracle"]["values"]
    assert worth["num_preferences"] == 120
    assert 0 <= worth["accuracy"] <= 1


@pytest.mark.slow
def test_two_processes_pick_the_same_preferences(undisturbed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_preferences(tmp_path)
    two = ended(monkeypatch, "two", "trainer=ddp", "trainer.devices=2")
    assert two[0]["training"]["world_size"] == 2
    np.testing.assert_array_equal(undisturbed[1]["row"], two[1]["row"])
