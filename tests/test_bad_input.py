"""Every bad input ends in one message (what, where, the cure) and status 1; no stack trace, nothing half-written."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from tests.runs import command, records, write_jsonl, write_texts


def write(name, content):
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())


TRAIN = "train_dataset.path="
FINE = '{"text": "fine"}\n'

BAD_FILES = {
    "malformed JSON": (FINE + '{"text": "a"\n', ["train.jsonl", "2"]),
    "missing field": (FINE + '{"body": "a"}\n', ["train.jsonl", "2", "text", "body"]),
    "wrong type": (FINE + '{"text": 5}\n', ["train.jsonl", "2", "text"]),
    "not an object": (FINE + "[1, 2]\n", ["train.jsonl", "2"]),
    "not UTF-8": (FINE.encode() + b'{"text": "\xff"}\n', ["train.jsonl", "UTF-8"]),
    "empty file": ("", ["train.jsonl", "empty"]),
    "all documents empty": ('{"text": ""}\n{"text": "  "}\n', ["no document with text", "2 empty"]),
    "fewer documents than a batch": (FINE, ["fewer than one batch of 8", "model.batch_items"]),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_training_files(tmp_path, monkeypatch, capsys, kind):
    content, words = BAD_FILES[kind]
    write_texts(tmp_path)
    write("train.jsonl", content)
    check_fails(monkeypatch, capsys, words, "scorer=random")


BAD_SETTINGS = {
    "no file matches": (["train_dataset.path=nowhere/*.jsonl"], ["nowhere/*.jsonl"]),
    "ratio of 0": (["selector.ratio=0"], ["selector.ratio=0", "(0, 1]"]),
    "ratio above 1": (["selector.ratio=1.01"], ["selector.ratio=1.01", "(0, 1]"]),
    "negative ratio": (["selector.ratio=-0.5"], ["(0, 1]"]),
    "k above N": (["selector=top_k", "selector.k=81"], ["81", "80"]),
    "k of 0": (["selector=top_k", "selector.k=0"], ["k"]),
    "threshold that keeps nothing": (
        ["selector=threshold", "selector.value=1e9", "selector.quantile=null"],
        ["selector.value", "1000000000"],
    ),
    "context above the position limit": (["model.context_tokens=65"], ["65", "64 positions"]),
    "warm-up beyond training": (["model.schedule.warmup_steps=99", "model.schedule.warmup_ratio=null"], ["99 warm-up"]),
    "unknown layout": (["training.layout=folded"], ["packed, packed_isolated, padded"]),
    "wrong type of a setting": (["training.epochs=many"], ["training.epochs", "many"]),
    "Hub tokenizer without network": (["tokenizer=hf", "tokenizer.name=nobody/nothing"], ["nobody/nothing", "HF_HOME"]),
    "Hub model without network": (
        ["proxy=pretrained", "proxy.name=nobody/nothing", "scorer=perplexity"],
        ["nobody/nothing", "HF_HOME"],
    ),
    "Hub dataset without network": (["train_dataset=c4", "scorer=random"], ["allenai/c4", "network"]),
    "missing KenLM file": (["scorer=kenlm", "scorer.model_path=no.arpa"], ["no.arpa"]),
    "output folder is a file": (["output_dir=train.jsonl"], ["train.jsonl"]),
    "no such device": (["runtime.device=tpu"], ["runtime.device='tpu'", "one of: auto, cpu, cuda"]),
    "unknown precision": (["trainer.precision=fp8"], ["trainer.precision='fp8'", "bf16-mixed"]),
    "no GPU": (["trainer=gpu"], ["trainer.accelerator=gpu", "0 GPUs", "trainer=cpu"]),
    "negative workers": (["trainer.num_workers=-1"], ["trainer.num_workers=-1"]),
    "seed that is no number": (["seed=abc"], ["seed='abc'"]),
    "a learning rate that is no number": (["model.optimizer.lr=nan"], ["model.optimizer.lr=nan", "(0, inf)"]),
    "an infinite learning rate": (["model.optimizer.lr=inf"], ["model.optimizer.lr=inf", "(0, inf)"]),
    "clipping to nothing": (["model.clip_norm=0"], ["model.clip_norm=0", "(0, inf)"]),
    "betas out of range": (
        ["model.optimizer.betas=[2,3]"],
        ["model.optimizer.betas[0]=2", "model.optimizer.betas[1]=3", "[0, 1)"],
    ),
    "CUDA that is not there": (["runtime.device=cuda"], ["runtime.device", "cuda"]),
    "text for true or false": (
        ["corpus.drop_duplicates=perhaps"],
        ["corpus.drop_duplicates='perhaps'", "true or false"],
    ),
    "a value for what has keys": (["corpus=3"], ["corpus=3 is not allowed", "corpus.drop_duplicates=VALUE"]),
    "several settings at once": (
        ["model.optimizer.lr=0", "model.schedule.min_ratio=2", "model.clip_norm=no"],
        ["model.optimizer.lr=0 ", "model.schedule.min_ratio=2 ", "model.clip_norm='no' ", "(0, inf) or null"],
    ),
    "unknown key": (["+corpus.foo=1"], ["corpus.foo is unknown", "drop_duplicates"]),
    "code in a config": (["scorer._target_=os.system"], ["os.system", "delt_exp."]),
}


@pytest.mark.parametrize("kind", BAD_SETTINGS)
def test_bad_settings(tmp_path, monkeypatch, capsys, kind):
    overrides, words = BAD_SETTINGS[kind]
    write_texts(tmp_path)
    chosen = {text.split("=")[0] for text in overrides}
    scorer = [] if "scorer" in chosen else ["scorer=length"]
    check_fails(monkeypatch, capsys, words, *scorer, *overrides)


@pytest.mark.slow
def test_bad_settings_are_found_before_anything_is_scored(tmp_path, monkeypatch, capsys):
    write_texts(tmp_path)
    for bad in ("selector.ratio=7", "orderer.num_layers=0", "training.layout=folded", "model.clip_norm=-1"):
        check_fails(monkeypatch, capsys, [bad.split("=")[1]], bad)
    assert not Path("outputs/store/scores").exists()


def test_a_scorer_that_returns_nan_is_named(tmp_path, monkeypatch, capsys):
    write_texts(tmp_path)

    def broken(self, pool):
        scores = np.zeros(len(pool.candidates), np.float32)
        scores[3] = np.nan
        return scores

    monkeypatch.setattr("delt_exp.scorer.length.LengthScorer.score", broken)
    check_fails(monkeypatch, capsys, ["1 of 80 scores", "row 3", "nan"], "scorer=length")


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["corpus", "tokens", "scores", "model", "evaluation"])
def test_a_full_disk_during_any_stage_keeps_what_was_finished(tmp_path, monkeypatch, capsys, stage):
    """The disk fills up while one stage writes; with space again, the same command ends well."""
    from delt_exp.store.store import Store

    write_texts(tmp_path)
    original = Store._build

    def fill(self, name, inputs, build, path, resumable):
        def out_of_space(folder):
            build(folder)
            if name == stage:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "data"))

        original(self, name, inputs, out_of_space, path, resumable)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_build", fill)
        check_fails(patch, capsys, ["disk is full", "finished stages are kept"], "scorer=length")
    command(monkeypatch, "scorer=length")
    assert records()[0]["order_verified"]


@pytest.mark.slow
def test_skipped_documents_are_counted(tmp_path, monkeypatch):
    write_texts(tmp_path)
    write_jsonl(tmp_path / "train.jsonl", [{"text": t} for t in ["", "same", "same", " ", *map(str, range(200))]])
    command(monkeypatch, "scorer=random")
    counts = records()[0]["data"]["train"]["counts"]
    assert counts == {
        "empty_files": 0, "read": 204, "empty": 2, "left_out": 0, "split": 0, "blank_pieces": 0,
        "duplicates": 1, "duplicates_dropped": 1,
    }  # fmt: skip


def check_fails(monkeypatch, capsys, words, *overrides):
    capsys.readouterr()
    with pytest.raises(SystemExit) as leave:
        command(monkeypatch, *overrides)
    message = capsys.readouterr().err
    assert leave.value.code == 1
    assert message.count("error:") == 1
    assert "Traceback" not in message
    for word in words:
        assert word in message, message
    assert not list(Path("outputs").glob("runs/*/record.json"))
    finished = [folder for folder in Path("outputs/store").glob("*/*") if folder.is_dir() and folder.suffix != ".work"]
    assert all((folder / "entry.json").exists() for folder in finished)


@pytest.mark.parametrize("missing", ["eval_dataset.jsonl.dataset.path=gone.jsonl", "target_dataset.path=gone.jsonl"])
def test_a_missing_file_is_found_before_the_candidates_are_read(tmp_path, monkeypatch, capsys, missing):
    write_texts(tmp_path)
    check_fails(monkeypatch, capsys, ["no file matches path=gone.jsonl"], missing)
    assert not Path("outputs/store/corpus").exists()


WRONG_SCORES = {
    "no table": (["scorer=table", "scorer.path=gone.csv", "scorer.better=higher"], "gone.csv: there is no such file"),
    "a folder": (["scorer=table", "scorer.path=.", "scorer.better=higher"], "scorer.path=.: it is a folder; give"),
    "an empty table": (["scorer=table", "scorer.path=empty.csv", "scorer.better=higher"], "the file is empty"),
    "no such column": (
        ["scorer=table", "scorer.path=scores.csv", "scorer.by=row", "scorer.better=lower"],
        "no column 'score'; it has row, good; set scorer.column",
    ),
    "no such column of a part": (
        ["scorer=permuted", "scorer@scorer.base=table", "scorer.base.path=scores.csv", "scorer.base.by=row",
         "scorer.base.better=lower"],
        "no column 'score'; it has row, good; set scorer.base.column",
    ),
    "no such key": (
        ["scorer=table", "scorer.path=scores.csv", "scorer.by=row", "scorer.key=n", "scorer.column=good",
         "scorer.better=lower"],
        "no column 'n'; it has row, good; set scorer.key to the one with the rows",
    ),
    "no such field": (["scorer=field", "scorer.field=score"], "train.jsonl:1: scorer.field='score' needs the field"),
    "a field without numbers": (["scorer=field", "scorer.field=text"], "the field 'text' is 'train "),
}  # fmt: skip


@pytest.mark.parametrize("how", [[], ["dry_run=true"]], ids=["run", "dry run"])
@pytest.mark.parametrize("kind", WRONG_SCORES)
def test_numbers_that_are_not_there_are_missed_before_the_candidates_are_read(tmp_path, monkeypatch, capsys, kind, how):
    overrides, words = WRONG_SCORES[kind]
    write_texts(tmp_path)
    write("scores.csv", "row,good\n0,1\n")
    write("empty.csv", "")
    check_fails(monkeypatch, capsys, [words], *overrides, *how)
    assert not Path("outputs/store/corpus").exists()
