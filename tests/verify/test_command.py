"""The command over real exports: tokens of the run, of another tokenizer, joined documents, and what it refuses."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from delt_exp.certificate import OrderAudit, OrderedSampler
from delt_exp.cli.export import main as export
from delt_exp.cli.verify import main as verify
from delt_exp.export.reading import read_records, read_stream
from tests.export.conftest import stopped  # noqa: F401

PAD = 0


class Network(torch.nn.Module):
    """Reads token ids, as any language model does."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(1000, 2)

    def forward(self, input_ids, attention_mask=None):
        return self.embedding(input_ids).sum()


def train(sequences, batch_size=4, folder="audit"):
    """Train by a bare loop with the three lines of an audit."""
    network, audit = Network(), OrderAudit(folder)
    audit.watch(network)
    for first in range(0, len(sequences), batch_size):
        batch = [torch.as_tensor(np.asarray(ids, np.int64)) for ids in sequences[first : first + batch_size]]
        ids = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True, padding_value=PAD)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(one) for one in batch], batch_first=True)
        network(ids, attention_mask=mask).backward()
        audit.step()
    audit.close()


def verdict(capsys, *arguments):
    """Return what the command prints; a departure ends with status 1."""
    capsys.readouterr()
    with suppress(SystemExit):
        verify(["audit", "out", *arguments])
    found = capsys.readouterr()
    return found.out or found.err


@pytest.mark.slow
def test_a_departure_ends_with_status_1_and_the_right_order_with_0(stopped):  # noqa: F811
    export([str(stopped), "--to", "hf", "--out", "out", "--tokens"])
    sequences = [record["input_ids"] for record in read_records(Path("out"))]
    train(sequences)
    verify(["audit", "out"])
    train(sequences[:-1])
    with pytest.raises(SystemExit) as leave:
        verify(["audit", "out"])
    assert leave.value.code == 1


@pytest.mark.parametrize("to", ["jsonl", "parquet", "hf"])
def test_training_on_exported_tokens_is_verified_in_every_format(to, stopped, capsys):  # noqa: F811
    export([str(stopped), "--to", to, "--out", "out", "--tokens"])
    sequences = [record["input_ids"] for record in read_records(Path("out"))]
    train(sequences)
    assert verdict(capsys) == "verified: 40 sequences in 10 steps, as planned\n"
    train(sequences[::-1])
    assert verdict(capsys).startswith("shuffled at step 0")


def test_an_own_tokenizer_and_cut_documents_are_verified_and_others_refused(stopped, capsys):  # noqa: F811
    from transformers import AutoTokenizer

    export([str(stopped), "--to", "jsonl", "--out", "out"])
    export([str(stopped), "--to", "bin", "--out", "stream"])  # which carries the tokenizer
    tokenizer = AutoTokenizer.from_pretrained("stream/tokenizer")
    train([tokenizer(record["text"])["input_ids"][:9] for record in read_records(Path("out"))])
    assert "verified" in verdict(capsys, "--tokenizer", "stream/tokenizer", "--max-tokens", "9")
    assert "not in the export" in verdict(capsys, "--tokenizer", "stream/tokenizer", "--max-tokens", "8")
    assert "give --tokenizer" in verdict(capsys)


def test_documents_that_the_trainer_ended_with_the_tokenizers_end_of_text_are_verified(stopped, capsys):  # noqa: F811
    from transformers import AutoTokenizer

    export([str(stopped), "--to", "jsonl", "--out", "out"])
    export([str(stopped), "--to", "bin", "--out", "stream"])
    tokenizer = AutoTokenizer.from_pretrained("stream/tokenizer")
    ended = [tokenizer(record["text"])["input_ids"] + [tokenizer.eos_token_id] for record in read_records(Path("out"))]
    train(ended)
    own = ("--tokenizer", "stream/tokenizer")
    assert "verified" in verdict(capsys, *own, "--append-eos")
    assert "--append-eos" in verdict(capsys, *own)
    assert "--append-eos says what follows the tokens that --tokenizer makes" in verdict(capsys, "--append-eos")
    longest = max(map(len, ended))
    train([ids[: longest - 1] for ids in ended])
    assert "verified" in verdict(capsys, *own, "--append-eos", "--max-tokens", str(longest - 1))
    tokenizer.eos_token = None
    tokenizer.save_pretrained("endless")
    assert "endless names no end-of-text token" in verdict(capsys, "--tokenizer", "endless", "--append-eos")


def test_a_token_stream_is_verified_in_windows(stopped, capsys):  # noqa: F811
    export([str(stopped), "--to", "bin", "--out", "out"])
    stream = read_stream(Path("out"))
    train([stream[first : first + 16] for first in range(0, len(stream) - 16, 16)])
    assert "verified" in verdict(capsys, "--context", "16")
    assert verdict(capsys, "--context", "32").startswith("packed differently at step 0")
    assert "give --context" in verdict(capsys)
    assert "--context 0: give at least 1" in verdict(capsys, "--context", "0")


def test_a_changed_export_and_an_empty_audit_are_refused_with_the_cure(stopped, capsys):  # noqa: F811
    export([str(stopped), "--to", "jsonl", "--out", "out", "--tokens"])
    assert "no audit.json" in verdict(capsys)
    train([])
    assert "no step was recorded" in verdict(capsys)
    train([record["input_ids"] for record in read_records(Path("out"))])
    (shard,) = Path("out").glob("*.jsonl")
    shard.write_bytes(shard.read_bytes() + b"\n")
    assert "export again" in verdict(capsys)
    Path("out/export.json").write_text("{")
    assert verdict(capsys).startswith("error: out/export.json is damaged (")


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_sampler_plays_every_item_once_in_order_from_any_start(world_size, num_workers):
    for start in (0, 16):
        samplers = [OrderedSampler(44, 4, rank=rank, world_size=world_size, start=start) for rank in range(world_size)]
        loaders = [torch.utils.data.DataLoader(range(44), 4, sampler=s, num_workers=num_workers) for s in samplers]
        played = [item for batches in zip(*loaders, strict=True) for batch in batches for item in batch.tolist()]
        assert played == list(range(start, 44))


class Stream(torch.utils.data.IterableDataset):
    def __init__(self, sampler):
        self.sampler = sampler

    def __iter__(self):
        return iter(self.sampler)


@pytest.mark.slow
def test_workers_of_an_iterable_dataset_share_the_batches_in_order():
    for num_workers in (0, 1, 2):
        sampler = OrderedSampler(26, 4, rank=0, world_size=1)
        loader = torch.utils.data.DataLoader(Stream(sampler), 4, num_workers=num_workers)
        assert [item for batch in loader for item in batch.tolist()] == list(range(26))
