"""The right order passes and every planted departure is named, with real trainers."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, IterableDataset

from delt_exp.certificate.digests import digest_of, digests_BL, digests_of_rows
from delt_exp.certificate.sampler import OrderedSampler
from delt_exp.errors import ConfigError, DataError
from tests.certificate.training import by_lightning, by_transformers, collate, loader, play, samples, verdict


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@given(st.lists(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=40), min_size=1, max_size=5))
def test_a_digest_is_that_of_the_ids_alone_whatever_the_padding(rows):
    batch = collate([{"input_ids": row} for row in rows])
    right = digests_BL(batch["input_ids"], batch["attention_mask"])
    left = digests_BL(batch["input_ids"].flip(1).flip(1), batch["attention_mask"])
    want = [digest_of(np.array(row)) for row in rows]
    assert right.numpy().view(np.uint64).tolist() == want == left.numpy().view(np.uint64).tolist()


def test_a_digest_is_the_sum_worked_in_whole_numbers_and_order_matters():
    from delt_exp.certificate.digests import multipliers

    factors = multipliers(3).tolist()
    assert digest_of(np.array([5, 0, 2])) == (6 * factors[0] + factors[1] + 3 * factors[2]) % 2**64
    assert digests_of_rows(np.array([[1, 2], [2, 1]])).tolist() == [digest_of(np.array(x)) for x in ([1, 2], [2, 1])]
    assert len({digest_of(np.array(x)) for x in ([1, 2], [2, 1], [1, 2, 0], [1])}) == 4


def test_left_padding_has_the_digest_of_right_padding():
    left = digests_BL(torch.tensor([[0, 0, 7, 8]]), torch.tensor([[0, 0, 1, 1]]))
    assert left.numpy().view(np.uint64).tolist() == [digest_of(np.array([7, 8]))]


@pytest.mark.parametrize(
    "how",
    [{}, {"gradient_accumulation_steps": 2}, {"dataloader_num_workers": 2}, {"num_train_epochs": 2}],
    ids=str,
)
def test_transformers_in_order_passes(how):
    by_transformers(22, **how)
    assert verdict(22).departure is None


def test_the_default_sampler_of_transformers_is_named():
    by_transformers(40, train_sampling_strategy="random")
    assert verdict(40).departure == "shuffled"


def test_transformers_that_drops_the_last_batch_is_named():
    by_transformers(22, dataloader_drop_last=True)
    found = verdict(22)
    assert (found.departure, found.step) == ("dropped tail", 6)
    assert "the last 2 of 22 samples" in str(found)


@pytest.mark.parametrize(("ignore", "departure"), [(False, None), (True, "repeated after resume")])
def test_a_resumed_transformers_run_passes_unless_it_starts_again(ignore, departure):
    by_transformers(40, save_strategy="steps", save_steps=3, max_steps=5)
    by_transformers(40, resume="out/checkpoint-3", ignore_data_skip=ignore)
    found = verdict(40)
    assert found.departure == departure
    assert not departure or found.step == 4


@pytest.mark.parametrize("how", [{}, {"accumulate_grad_batches": 2}, {"max_epochs": 2}], ids=str)
def test_lightning_in_order_passes(how):
    by_lightning(loader(24, sampler=OrderedSampler(24, rank=0, world=1), num_workers=0), **how)
    assert verdict(24).departure is None


def test_lightning_that_shuffles_is_named():
    by_lightning(loader(24, shuffle=True))
    assert verdict(24).departure == "shuffled"


@pytest.mark.parametrize(("start", "departure"), [(12, None), (0, "repeated after resume")])
def test_a_lightning_run_resumed_with_the_sampler_after_what_was_trained_passes(start, departure):
    trainer = by_lightning(loader(24), max_steps=3)
    trainer.save_checkpoint("three.ckpt")
    state = torch.load("three.ckpt", weights_only=True)
    del state["loops"]["fit_loop"]["epoch_loop.batch_progress"]  # so that the loader alone says where to go on
    play([range(a, a + 4) for a in range(start, 24, 4)][: 3], begins=3)
    assert verdict(24).departure == departure


@pytest.mark.parametrize(("how", "departure"), [("ordered", None), ("shuffled", "shuffled")])
def test_two_processes_of_lightning(how, departure):
    port = str(29500 + hash(how) % 1000)
    code = "import sys; from tests.certificate.training import one_of_two as f; f(int(sys.argv[1]), *sys.argv[2:])"
    processes = [subprocess.Popen([sys.executable, "-c", code, str(rank), port, how]) for rank in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert verdict(24).departure == departure


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([1, 2, 4]), st.integers(1, 4), st.integers(1, 3), st.integers(1, 5), st.integers(0, 4))
def test_sampler_deals_the_order_out_and_resumes_exactly(world, batch, accumulate, steps, before):
    step = world * batch * accumulate
    num_samples, start = step * steps, step * min(before, steps)
    parts = [list(OrderedSampler(num_samples, start=start, rank=rank, world=world)) for rank in range(world)]
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
    sampler = OrderedSampler(24, rank=1, world=2, batch_samples=3)
    batches = [batch.tolist() for batch in DataLoader(Stream(sampler), batch_size=3, num_workers=2)]
    assert batches == [[1, 3, 5], [7, 9, 11], [13, 15, 17], [19, 21, 23]]


def test_sampler_refuses_samples_that_do_not_divide():
    with pytest.raises(ConfigError, match="give num_samples=8"):
        OrderedSampler(10, rank=0, world=4)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_no_false_alarm_over_processes_with_other_order_inside_a_step(world):
    for rank in range(world):
        mine = list(OrderedSampler(48, rank=rank, world=world))
        size = 8 // world
        play([mine[first : first + size][::-1] for first in range(0, len(mine), size)], rank=rank, world=world)
    assert verdict(48).departure is None


def test_a_run_resumed_on_other_processes_passes_and_its_stale_steps_do_not_count():
    for rank in range(4):
        play([range(8 * step + 2 * rank, 8 * step + 2 * rank + 2) for step in range(4)], rank=rank, world=4)
    for rank in range(2):
        play([range(8 * s + 4 * rank, 8 * s + 4 * rank + 4) for s in range(2, 6)], begins=2, rank=rank, world=2)
    assert verdict(48).departure is None


@pytest.mark.parametrize(
    "deal",
    [lambda rank: range(24 * rank, 24 * rank + 24), lambda rank: range(48)],
    ids=["halves", "everything twice"],
)
def test_processes_that_go_through_the_order_by_themselves_are_named(deal):
    for rank in range(2):
        mine = list(deal(rank))
        play([mine[first : first + 4] for first in range(0, len(mine), 4)], rank=rank, world=2)
    assert verdict(48).departure == "rank split"


def test_a_last_batch_that_was_filled_up_is_named():
    play([range(0, 4), range(4, 8), [8, 9, 0, 1]])
    found = verdict(10)
    assert (found.departure, found.step) == ("repeated", 3)


def test_a_tail_dropped_before_the_next_epoch_is_named():
    play([range(0, 4), range(4, 8), range(0, 4), range(4, 8)])
    assert (verdict(10).departure, verdict(10).step) == ("dropped tail", 3)


def test_other_packing_is_named():
    play([range(500, 504), range(504, 508)])
    assert verdict(40).departure == "packed differently"


def test_a_run_that_ends_early_is_in_order_and_says_where_it_ended():
    play([range(0, 4), range(4, 8)])
    assert "ended after 8 samples" in str(verdict(40))


def test_a_line_that_a_kill_cut_short_is_passed_over(tmp_path):
    play([range(0, 4), range(4, 8)])
    with (tmp_path / "audit/rank-00000.jsonl").open("a") as file:
        file.write('{"step": 3, "dig')
    play([range(8, 12)], begins=2)
    assert verdict(12).departure is None


def test_the_file_of_a_process_that_is_missing_is_asked_for():
    play([range(0, 4)], rank=0, world=2)
    with pytest.raises(DataError, match=r"rank-00001\.jsonl: copy the files of all processes"):
        verdict(12)


def test_evaluation_is_not_noted():
    from delt_exp.certificate.audit import OrderAudit
    from tests.certificate.training import Network

    network, rows = Network(), samples(12)
    audit = OrderAudit("audit", network)
    for first in range(0, 12, 4):
        network(**collate(rows[first : first + 4]))
        with torch.no_grad():
            network(**collate(rows[:4]))
        audit.step()
    audit.close()
    assert verdict(12).departure is None


def test_the_certificate_needs_nothing_of_the_pipeline():
    code = (
        "import sys, delt_exp.certificate.audit, delt_exp.certificate.sampler;"
        "print([m for m in ('hydra', 'omegaconf', 'pytorch_lightning', 'transformers', 'pyarrow') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
