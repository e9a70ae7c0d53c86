"""What a document's tokens are, and which of them are predicted."""

from tests.field_cases.case import Case

GOOD = "F/models/boseos"
MODEL = (
    "model=hf", f"model.network.name={GOOD}", "tokenizer=hf", f"tokenizer.name={GOOD}", "training.max_tokens=1024",
    "model.context_tokens=32", "model.batch_items=4",
    "eval_dataset=jsonl", "eval_dataset.jsonl.dataset.path=F/plain.jsonl",
)  # fmt: skip


def as_good_as_sound(record):
    losses = [result["value"] for result in record["results"] if result["metric"] == "loss"]
    assert len(losses) == 1
    assert abs(losses[0] - 0.218) < 0.01, losses


def forty_dialogues(record):
    counts = record["data"]["train"]["counts"]
    assert (counts["read"], counts["left_out"], record["data"]["train"]["left_out"]) == (40, 0, {})
    shown = [document["text"] for group in record["examples"].values() for document in group]
    assert any(text.count("[assistant]") > 1 for text in shown)
    assert any(text.startswith("[system] You help.") for text in shown)


CASES = [
    Case("6 documents begin with the bos token of a model that has one", MODEL, holds=as_good_as_sound),
    Case("10 all turns of a ShareGPT conversation", (
        "train_dataset.path=F/sharegpt.jsonl", "train_dataset.messages=conversations"), holds=forty_dialogues),
    Case("10 all turns of messages", (
        "train_dataset.path=F/messages.jsonl", "train_dataset.messages=messages"), holds=forty_dialogues),
    Case("33 prompt and text are one text for a tokenizer that adds spaces", (
        "tokenizer=hf", "tokenizer.name=F/models/unigram", "train_dataset.path=F/pairs.jsonl",
        'train_dataset.prompt="{chosen[0][content]} ("', 'train_dataset.text="{chosen[1][content]})"')),
    Case("39 the preferred side of a pair of dialogues", (
        "train_dataset.path=F/pairs.jsonl", "train_dataset.messages=chosen")),
]  # fmt: skip
