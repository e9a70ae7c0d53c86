"""The right order passes and every planted departure is named, with real trainers."""

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, IterableDataset

from delt_exp.certificate import OrderAudit, OrderedSampler
from delt_exp.certificate.audit import read_rows
from delt_exp.certificate.digests import FACTOR, MULTIPLIER, Stretches, digest_of
from delt_exp.errors import ConfigError, DataError
from tests.certificate.training import (
    Network,
    by_lightning,
    by_transformers,
    collate,
    finding,
    loader,
    one_of_two,
    play,
    read_by_loop,
    samples,
)
from tests.processes import exit_status, start


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


IDS = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=40)


@given(IDS)
def test_a_digest_is_the_polynomial_worked_in_whole_numbers(ids):
    worked = sum((token + 1) * FACTOR * MULTIPLIER**place for place, token in enumerate(ids)) % 2**64
    assert digest_of(np.array(ids)) == worked


@given(IDS, st.data())
def test_the_digest_of_every_stretch_follows_from_the_stream(ids, data):
    start = data.draw(st.integers(0, len(ids) - 1))
    stop = data.draw(st.integers(start + 1, len(ids)))
    found = Stretches(np.array(ids)).digests(np.array([start]), np.array([stop]))
    assert int(found[0]) == digest_of(np.array(ids[start:stop]))


def test_order_and_length_change_the_digest():
    assert len({digest_of(np.array(ids)) for ids in ([1, 2], [2, 1], [1, 2, 0], [1], [0, 1])}) == 5


@pytest.mark.parametrize(
    ("ids", "mask"), [([[0, 0, 7, 8]], [[0, 0, 1, 1]]), ([[7, 8, 9]], [[1, 1, 0]]), ([[7, 8]], None)], ids=str
)
def test_what_is_recorded_is_the_tokens_without_padding_on_either_side(ids, mask):
    network, audit = Network(), OrderAudit("audit")
    audit.watch(network)
    network(torch.tensor(ids), attention_mask=None if mask is None else torch.tensor(mask))
    audit.step()
    audit.close()
    (row,) = read_rows(audit._path)
    assert (row["length"], row["digest"]) == (2, digest_of(np.array([7, 8])))


@pytest.mark.parametrize(
    "how",
    [{}, {"gradient_accumulation_steps": 2}, {"dataloader_num_workers": 2}, {"num_train_epochs": 2}],
    ids=str,
)
def test_transformers_in_order_passes(how):
    by_transformers(22, **how)
    assert finding(22, how.get("num_train_epochs", 1)).kind == ""


def test_the_default_sampler_of_transformers_is_named():
    by_transformers(40, train_sampling_strategy="random")
    assert finding(40).kind == "shuffled"


def test_transformers_that_drops_the_last_batch_is_named():
    by_transformers(22, dataloader_drop_last=True)
    found = finding(22)
    assert (found.kind, found.step) == ("dropped tail", 5)
    assert "the last 2 of 22 documents" in found.sentence


@pytest.mark.parametrize(("ignore", "kind"), [(False, ""), (True, "repeated after resume")])
def test_a_resumed_transformers_run_passes_unless_it_starts_again(ignore, kind):
    by_transformers(40, save_strategy="steps", save_steps=3, max_steps=5)
    by_transformers(40, resume="out/checkpoint-3", ignore_data_skip=ignore)
    found = finding(40)
    assert (found.kind, found.step) == (kind, 3 if kind else None)


@pytest.mark.parametrize("how", [{}, {"accumulate_grad_batches": 2}, {"max_epochs": 2}], ids=str)
def test_lightning_in_order_passes(how):
    by_lightning(loader(24, sampler=OrderedSampler(24, 4)), **how)
    assert finding(24, how.get("max_epochs", 1)).kind == ""


def test_lightning_that_shuffles_is_named():
    by_lightning(loader(40, shuffle=True))
    assert finding(40).kind == "shuffled"


def test_a_lightning_run_resumed_in_an_epoch_starts_its_loader_again_and_is_named():
    keep = pl.callbacks.ModelCheckpoint("kept", "{step}", save_top_k=-1, every_n_train_steps=3)
    by_lightning(loader(40), keep, max_steps=5)
    by_lightning(loader(40), resume="kept/step=3.ckpt")
    found = finding(40)
    assert (found.kind, found.step) == ("repeated after resume", 3)


def test_the_sampler_that_lightning_puts_in_place_of_the_given_one_is_named():
    by_lightning(loader(40, sampler=OrderedSampler(40, 4)), strategy="ddp", use_distributed_sampler=True)
    assert finding(40).kind == "shuffled"


@pytest.mark.slow
def test_two_processes_of_lightning_in_order_pass():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = [start(one_of_two, rank, port) for rank in range(2)]
    assert [exit_status(process) for process in processes] == [0, 0]
    assert finding(24).sentence == "verified: 24 sequences in 3 steps, as planned"


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([1, 2, 4]), st.integers(1, 4), st.integers(1, 3), st.integers(1, 5), st.integers(0, 4))
def test_sampler_deals_the_order_out_and_resumes_exactly(world, batch, accumulate, steps, before):
    step = world * batch * accumulate
    num_items, start = step * steps, step * min(before, steps)
    parts = [list(OrderedSampler(num_items, batch, start=start, rank=rank, world_size=world)) for rank in range(world)]
    local = batch * accumulate
    for first in range(0, len(parts[0]), local):
        together = sorted(place for part in parts for place in part[first : first + local])
        assert together == list(range(start + first * world, start + (first + local) * world))


class Stream(IterableDataset):
    def __init__(self, sampler):
        self.sampler = sampler

    def __iter__(self):
        return iter(self.sampler)


def test_loader_workers_deal_out_whole_batches_in_order():
    sampler = OrderedSampler(24, 3, rank=1, world_size=2)
    batches = [batch.tolist() for batch in DataLoader(Stream(sampler), batch_size=3, num_workers=2)]
    assert batches == [[3, 4, 5], [9, 10, 11], [15, 16, 17], [21, 22, 23]]


def test_sampler_refuses_a_rest_that_leaves_a_rank_without_anything():
    with pytest.raises(ConfigError, match=r"leave them out \(num_items=8\)"):
        OrderedSampler(10, 1, rank=0, world_size=4)


def test_the_rest_is_what_follows_the_start_which_may_be_known_only_when_iteration_begins():
    with pytest.raises(ConfigError, match=r"12 items from 6 on leave 2 .*num_items=10"):
        OrderedSampler(12, 1, rank=0, world_size=4, start=6)
    later = OrderedSampler(12, 1, rank=0, world_size=4, start=lambda: 6)
    with pytest.raises(ConfigError, match="num_items=10"):
        list(later)
    assert list(OrderedSampler(10, 1, rank=0, world_size=4, start=6)) == [6]


@pytest.mark.parametrize("world", [1, 2, 4])
def test_no_false_alarm_over_processes_with_other_order_inside_a_step(world):
    size = 8 // world
    for rank in range(world):
        mine = list(OrderedSampler(48, size, rank=rank, world_size=world))
        play([mine[first : first + size][::-1] for first in range(0, len(mine), size)], rank=rank, world=world)
    assert finding(48).kind == ""


def test_a_run_resumed_on_fewer_processes_passes_and_the_steps_it_repeats_count_once():
    for rank in range(4):
        play([range(8 * step + 2 * rank, 8 * step + 2 * rank + 2) for step in range(4)], rank=rank, world=4)
    for rank in range(2):
        play([range(8 * s + 4 * rank, 8 * s + 4 * rank + 4) for s in range(2, 6)], begins=2, rank=rank, world=2)
    assert finding(48).kind == ""


@pytest.mark.parametrize(
    ("deal", "kind"),
    [(lambda rank: range(24 * rank, 24 * rank + 24), "rank split"), (lambda rank: range(48), "repeated on every rank")],
    ids=["halves", "everything twice"],
)
def test_processes_that_go_through_the_order_by_themselves_are_named(deal, kind):
    for rank in range(2):
        mine = list(deal(rank))
        play([mine[first : first + 4] for first in range(0, len(mine), 4)], rank=rank, world=2)
    assert finding(48).kind == kind


def test_a_last_batch_that_was_filled_up_is_named():
    play([range(4), range(4, 8), [8, 9, 0, 1]])
    assert (finding(10).kind, finding(10).step) == ("repeated to fill the last batch", 2)


def test_a_tail_dropped_before_the_next_epoch_is_named():
    play([range(4), range(4, 8), range(4), range(4, 8)])
    assert (finding(10, 2).kind, finding(10, 2).step) == ("dropped tail", 2)


def test_a_stretch_that_was_left_out_is_named():
    play([range(4), *(range(first, first + 4) for first in range(12, 40, 4))])
    assert (finding(40).kind, finding(40).step) == ("skipped", 1)


def test_the_same_tokens_in_other_sequences_are_called_packed_differently():
    network, audit = Network(), OrderAudit("audit")
    audit.watch(network)
    stream = torch.tensor([token for row in samples(40) for token in row["input_ids"]])
    for first in range(0, len(stream) - 10, 10):
        network(stream[None, first : first + 10])
        audit.step()
    audit.close()
    assert finding(40).kind == "packed differently"


def test_documents_of_another_export_are_refused_with_what_to_give():
    play([range(500, 504), range(504, 508)])
    with pytest.raises(DataError, match="give the export that was trained"):
        finding(40)


def test_a_run_that_ends_early_says_where():
    play([range(4), range(4, 8)])
    assert (finding(40).kind, finding(40).step) == ("ended early", 2)


def test_an_audit_without_steps_does_not_tell_the_order_and_is_not_verified():
    read_by_loop(range(0, 40, 4), steps_at=()).close()
    with pytest.raises(
        DataError, match=r"the order of 40 sequences, so .* not verified: no audit\.step\(\) was recorded"
    ):
        finding(40)


def test_sequences_that_no_step_follows_are_not_taken_for_trained():
    read_by_loop(range(0, 40, 4), steps_at=range(0, 36, 4)).close()
    found = finding(40)
    assert (found.kind, found.step) == ("not trained on", 9)
    assert "the last 4 documents were read, but no audit.step() followed" in found.sentence


def test_an_audit_that_was_never_closed_is_called_so_where_the_end_is_missing():
    read_by_loop(range(0, 32, 4), steps_at=range(0, 32, 4)).flush()
    found = finding(40)
    assert (found.kind, found.step) == ("not closed", 8)
    assert "nothing of the last 8 of 40 documents, because it was never closed: call audit.close()" in found.sentence
    read_by_loop(range(0, 40, 4), steps_at=range(0, 40, 4)).flush()
    assert finding(40).kind == ""


def test_an_audit_that_was_never_closed_before_anything_was_written_is_called_so():
    read_by_loop(range(0, 40, 4), steps_at=range(0, 40, 4))
    with pytest.raises(DataError, match=r"it was never closed: call audit\.close\(\)"):
        finding(40)


@pytest.mark.parametrize("content", ["", "[{", '["no"]', "3", "\udcff"], ids=ascii)
def test_a_damaged_audit_is_refused_with_its_file_and_the_cure(content, tmp_path):
    play([range(4)])
    (tmp_path / "audit/audit.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"audit/audit\.json is damaged, .*: copy it again"):
        finding(4)


def test_a_row_that_a_kill_cut_short_is_passed_over(tmp_path):
    play([range(4), range(4, 8)])
    with (tmp_path / "audit/rank-00000.rows").open("ab") as file:
        file.write(b"cut")
    play([range(8, 12)], begins=2)
    assert finding(12).kind == ""


def test_a_restart_that_is_killed_while_it_writes_loses_nothing_that_was_recorded(tmp_path, monkeypatch):
    play([range(4), range(4, 8)])

    def killed(path, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            OrderAudit("audit").watch(Network(), 1)
    play([range(8, 12)], begins=2)
    assert finding(12).kind == ""


def test_the_file_of_a_process_that_is_missing_is_asked_for():
    play([range(4)], rank=0, world=2)
    with pytest.raises(DataError, match=r"rank-00001\.rows: collect the files of all 2 ranks"):
        finding(12)


def test_evaluation_is_not_noted():
    network, rows, audit = Network(), samples(12), OrderAudit("audit")
    audit.watch(network)
    for first in range(0, 12, 4):
        network(**collate(rows[first : first + 4]))
        with torch.no_grad():
            network(**collate(rows[:4]))
        network.eval()(**collate(rows[:4]))
        network.train()
        audit.step()
    audit.close()
    assert finding(12).kind == ""


@pytest.mark.slow
def test_the_certificate_needs_what_the_page_says_and_nothing_of_the_pipeline():
    code = (
        "import sys, numpy, torch; before = {*sys.modules}; import delt_exp.certificate;"
        "print(*sorted({m.split('.')[0] for m in {*sys.modules} - before} - {*sys.stdlib_module_names}))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said == ["delt_exp", "filelock", "numpy", "rich"]
    page = Path(__file__).parents[2] / "docs" / "howto" / "your_trainer.md"
    assert "`delt_exp.certificate` needs `torch`, `numpy`, `filelock` and `rich`" in page.read_text()
