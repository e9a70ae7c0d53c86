"""Pretrained folders as people have them."""

import pytest

from tests.field_cases.case import Case


def started_from(name, *more):
    """Training continues from a folder of `models` and is measured where it was trained."""
    folder = f"F/models/{name}"
    return (
        "model=hf",
        f"model.network.name={folder}",
        "tokenizer=hf",
        f"tokenizer.name={folder}",
        "model.context_tokens=32",
        "model.batch_items=4",
        "training.max_tokens=1024",
        "eval_dataset=jsonl",
        "eval_dataset.jsonl.dataset.path=F/plain.jsonl",
        *more,
    )


def scored_by(name, scorer="perplexity"):
    return (
        f"scorer={scorer}",
        "proxy=pretrained",
        f"proxy.name=F/models/{name}",
        "proxy.context_tokens=32",
        *(("scorer.context_tokens=32",) if scorer == "gradnorm" else ()),
    )


def as_the_sound_one(record):
    """`good`, trained in the same way, has 0.218."""
    (loss,) = (row["value"] for row in record["results"] if row["metric"] == "loss")
    assert loss == pytest.approx(0.218, abs=0.002)
    assert "wrapper" in record["model_notes"][0]


def sound_scores(record):
    assert record["score"]["quantiles"]["0.5"] == pytest.approx(0.22, abs=0.01)
    assert "wrapper" in record["model_notes"][0]


def one_left_out(record):
    counts = record["data"]["train"]["counts"]
    assert (counts["read"], counts["without_tokens"], record["data"]["train"]["documents"]) == (41, 1, 40)


AHEAD = ("roberta", "tokens see those after them")
FAULTS = {
    "8 attention sees the future": AHEAD,
    "12 an end-of-text token beyond the embedding": ("neweos", "382 embedding rows", "has 381"),
    "12 added tokens beyond the embedding": ("addtok", "383 embedding rows", "has 381"),
    "14 git-lfs pointer": ("lfs", "model.safetensors is a git-lfs pointer", "fetch it again"),
    "14 broken download": ("truncated", "model.safetensors is incomplete", "fetch it again"),
    "31 adapter": ("lora", "is an adapter", "merge it first"),
}

CASES = [
    Case("1 compiled weights", started_from("compiled"), holds=as_the_sound_one),
    Case("1 compiled weights score", scored_by("compiled"), holds=sound_scores),
    Case("2 weights of DDP", started_from("ddp"), holds=as_the_sound_one),
    *(Case(name, started_from(fault), fails=True, says=tuple(says)) for name, (fault, *says) in FAULTS.items()),
    *(
        Case(f"{name}, proxy", scored_by(fault), fails=True, says=tuple(says))
        for name, (fault, *says) in FAULTS.items()
    ),
    Case("8 a dry run looks too", (*scored_by("roberta"), "dry_run=true"), fails=True, says=AHEAD[1:]),
    Case(
        "28 documents without a token",
        (
            *scored_by("good"),
            "train_dataset.path=F/zerowidth.jsonl",
            "tokenizer=hf",
            "tokenizer.name=F/models/unigram",
            "scorer=length",
        ),
        holds=one_left_out,
    ),
    Case("30 a network without attention", scored_by("mamba", "gradnorm")),
]
