"""A judgement mapped over documents: what each gets, and that batches, shards, workers and kills change nothing."""

import os
import signal
import subprocess
import sys
import threading
import tracemalloc
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.dataset.base import Document
from delt_exp.distributed import job as job_module
from delt_exp.distributed.job import write_job
from delt_exp.errors import DeltError, StoreError
from delt_exp.mapping import map_documents as map_module
from delt_exp.mapping import shards as shards_module
from delt_exp.mapping.items import TextItems, WindowItems, settings_of
from delt_exp.mapping.map_documents import map_documents, map_texts
from delt_exp.mapping.shards import Shards, cut
from delt_exp.model.token_loss import TokenLossJudge
from delt_exp.resources import Resources
from delt_exp.runtime import Runtime
from delt_exp.store.store import Store
from tests.distributed.judges import Broken, Counting, Lengths, Narrow
from tests.helpers import TRAINER, make_byte_tokenizer, make_corpus, make_tokens, wait_until, words
from tests.processes import exit_status, start_job

TEXTS = [
    "a",
    "tür" * 40,
    "b" * 7,
    "c" * 8,
    "d" * 9,
    *words(30),
    Document("the answer", prompt="what is the question? "),
]
COUNTING = Counting()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("map")


@pytest.fixture(scope="module")
def corpus(place):
    return make_corpus(place, TEXTS)


@pytest.fixture(scope="module")
def tokens(place, corpus):
    return make_tokens(place, corpus, make_byte_tokenizer(place, corpus))


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(shards_module, "SHARD_SIZE", 100)
    monkeypatch.setattr(shards_module, "SHARD_ITEMS", 10)


def resources(batch_tokens=40, devices=1, folder=Path("nowhere")):
    trainer = replace(TRAINER, strategy="ddp", devices=devices) if devices > 1 else TRAINER
    return Resources(Store(folder, "size"), None, trainer, Runtime("cpu", batch_tokens))


def counted(tokens, rows, folder, judge=COUNTING, **settings):
    return map_documents(resources(**settings), tokens, np.asarray(rows), judge, folder, "counting")


def files(folder):
    return {path.name: path.read_bytes() for path in folder.glob("shard-*.parquet")}


def by_hand(tokens, row, judge):
    """One document at a time, position by position."""
    ids, n = tokens.document(row).tolist(), int(tokens.lengths[row])
    whole, flags = [tokens.begin_id, *ids, tokens.eos_id], tokens.predicted(row).tolist()
    first, last = {"text": (0, n), "all": (0, n + 2), "beginning": (0, n + 1)}[judge.reads]
    if judge.reads == "beginning":
        first = max(0, flags.index(True) - judge.context_tokens // 2)
        last = min(last, first + judge.context_tokens)
    sums = np.zeros(4)
    for position in range(first, last):
        sums += [whole[position], 0, 0, 1]
        is_end = position >= n
        if position < n + 1 and (is_end or flags[position]):
            sums += [0, whole[position + 1], (whole[position + 1] - whole[position]) ** 2, 0]
    return sums


@pytest.mark.parametrize("reads", ["text", "all", "beginning"])
@pytest.mark.parametrize("context_tokens", [1, 5, 8, 1000])
def test_a_document_gets_what_one_document_at_a_time_gives(tokens, tmp_path, reads, context_tokens):
    judge = Counting(reads, context_tokens)
    found = counted(tokens, np.arange(len(TEXTS)), tmp_path, judge)
    np.testing.assert_array_equal(found, [by_hand(tokens, row, judge) for row in range(len(TEXTS))])


@pytest.mark.slow
@given(rows=st.lists(st.integers(0, len(TEXTS) - 1), max_size=30), batch_tokens=st.integers(1, 300))
def test_rows_come_in_any_order_and_any_number_of_times(tokens, tmp_path_factory, rows, batch_tokens):
    found = counted(tokens, np.array(rows, np.intp), tmp_path_factory.mktemp("rows"), batch_tokens=batch_tokens)
    expected = [by_hand(tokens, row, COUNTING) for row in rows]
    np.testing.assert_array_equal(found, np.reshape(expected, (-1, 4)))


def test_a_result_goes_where_it_is_wanted(tokens, tmp_path):
    out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.float32, (len(TEXTS), 4))
    rows = np.arange(len(TEXTS))
    found = map_documents(resources(), tokens, rows, Counting(dtype="float32"), tmp_path / "shards", "counting", out)
    assert found is out
    np.testing.assert_array_equal(out, counted(tokens, rows, tmp_path / "others"))


@given(st.lists(st.integers(0, 300), max_size=60))
def test_shards_hold_every_item_once_and_are_small(sizes):
    bounds = cut(np.array(sizes, np.int64))
    assert bounds[0] == 0
    assert bounds[-1] == len(sizes)
    assert (np.diff(bounds) > 0).all()
    for first, last in pairwise(bounds):
        assert sum(sizes[first : last - 1]) < 100
        assert last - first <= 10


def test_a_shard_is_a_table_that_others_can_read(tokens, tmp_path):
    counted(tokens, [3, 1], tmp_path)
    table = pq.read_table(tmp_path / "shard-00000.parquet").to_pydict()
    assert table["id"] == [int(tokens.ids[3]), int(tokens.ids[1])]
    np.testing.assert_array_equal(table["value"], [by_hand(tokens, row, COUNTING) for row in (3, 1)])


def test_texts_are_judged_as_they_are(corpus, tmp_path):
    texts = list(corpus.texts())
    expected = np.array([[len(text), int(i) >> 32] for text, i in zip(texts, corpus.ids, strict=True)], np.float64)
    rows = np.array([5, 1, 5, 30, 2])
    found = map_texts(resources(), corpus, rows, Lengths(), tmp_path / "one", "measuring")
    np.testing.assert_array_equal(found, expected[rows])


def test_texts_longer_than_a_judge_reads_are_judged_beside_those_of_about_their_length(corpus):
    """To the planned sizes they are all alike, and in the order of the corpus every batch would be padded."""
    judge, asked = replace(Lengths(), context_tokens=2), []

    def judgement(batch):
        asked.append([len(text.encode()) for text in batch.texts])
        return judge.open("cpu")(batch)

    rows = np.array([1, 3, *range(5, 35), 0])
    items = TextItems(corpus, rows, judge)
    found = items.read(judgement, slice(0, len(rows)), 8, lambda documents, positions: None)
    assert [len(sizes) for sizes in asked[:-1]] == [4] * (len(asked) - 1)
    together = [size for sizes in asked for size in sizes]
    assert together == sorted(together, reverse=True)
    np.testing.assert_array_equal(found[:, 0], [len(text) for text in corpus.texts(rows)])


@pytest.fixture
def judges_of_tests(monkeypatch):
    """Jobs may name the judges of tests too."""
    monkeypatch.setattr(job_module, "PACKAGES", ("delt_exp.", "tests."))


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 3])
def test_any_number_of_workers_gives_the_same_bytes(tokens, tmp_path, judges_of_tests, devices):
    alone = counted(tokens, np.arange(len(TEXTS)), tmp_path / "alone")
    several = counted(tokens, np.arange(len(TEXTS)), tmp_path / "several", devices=devices)
    np.testing.assert_array_equal(several, alone)
    assert len(files(tmp_path / "alone")) > 5
    assert files(tmp_path / "several") == files(tmp_path / "alone")


@pytest.mark.slow
def test_a_worker_is_killed_another_joins_and_the_bytes_are_those_of_one(tokens, tmp_path, judges_of_tests):
    rows, slow = np.arange(len(TEXTS)), Counting(seconds=0.05, log=tmp_path / "log")
    slow.log.mkdir()
    job, started = map_job(tokens, rows, slow, tmp_path / "several"), []
    started.append(start_job(job))
    wait_until(lambda: files(tmp_path / "several"))
    started.append(start_job(job))
    wait_until(lambda: len(worker_ids(slow)) == 2)
    started[0].kill()
    started[0].join()
    assert (tmp_path / "several").exists()
    started.append(start_job(job))
    assert [exit_status(worker) for worker in started] == [-signal.SIGKILL, 0, 0]
    counted(tokens, rows, tmp_path / "alone", replace(slow, seconds=0.0))
    assert files(tmp_path / "several") == files(tmp_path / "alone")


def worker_ids(judge):
    """Processes that have judged a batch."""
    return [int(path.name) for path in judge.log.iterdir() if path.name.isdigit()]


@pytest.mark.slow
def test_a_worker_that_is_killed_is_named_and_the_others_do_its_work(tokens, tmp_path, judges_of_tests, capsys):
    rows, slow = np.arange(len(TEXTS)), Counting(seconds=0.1, log=tmp_path / "log")
    slow.log.mkdir()

    def kill_one():
        wait_until(lambda: len(worker_ids(slow)) == 2)
        os.kill(worker_ids(slow)[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    found = counted(tokens, rows, tmp_path / "several", slow, devices=2)
    killer.join()
    np.testing.assert_array_equal(found, counted(tokens, rows, tmp_path / "alone"))
    assert "of 2 ended with status -9" in capsys.readouterr().err


@pytest.mark.slow
def test_a_model_that_workers_cannot_load_is_named(tokens, tmp_path, judges_of_tests):
    with pytest.raises(DeltError, match=r"while the model is loaded: OSError: no such model.* 0 of \d+ shards"):
        counted(tokens, np.arange(len(TEXTS)), tmp_path, Broken(), devices=2)


CALLER = """
import sys
from pathlib import Path
import numpy as np
from delt_exp.corpus.tokens import Tokens
from delt_exp.distributed import job
from delt_exp.mapping import shards
from tests.distributed.judges import Counting
from tests.mapping.test_map_documents import counted
if __name__ == "__main__":
    shards.SHARD_SIZE = 16
    job.PACKAGES = ("delt_exp.", "tests.")
    tokens, folder = Tokens(Path(sys.argv[1])), Path(sys.argv[2])
    counted(tokens, np.arange(len(tokens)), folder / "shards", Counting(seconds=30, log=folder), devices=2)
"""


@pytest.mark.slow
def test_workers_end_with_a_caller_that_is_killed(tokens, tmp_path):
    (tmp_path / "caller.py").write_text(CALLER)
    log = tmp_path / "log"
    log.mkdir()
    caller = subprocess.Popen([sys.executable, str(tmp_path / "caller.py"), str(tokens.folder), str(log)])
    wait_until(lambda: len(list(log.glob("started-*"))) == 2)
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    running = [Path(f"/proc/{path.name.removeprefix('started-')}") for path in log.glob("started-*")]
    wait_until(lambda: not any(path.exists() for path in running))
    assert len(running) == 2


def map_job(tokens, rows, judge, folder):
    """A job as the caller writes it before it waits for its workers."""
    items = WindowItems(tokens, rows, judge)
    shards = Shards(folder, cut(items.sizes()), judge.width)
    shards.open(items.source)
    job = map_module.MapJob(items, shards, Runtime("cpu", 40))
    return write_job(folder / "job", map_module.judge_shards, job)


def test_a_second_call_reads_what_is_there(tokens, tmp_path):
    judge = Counting(log=tmp_path / "log")
    judge.log.mkdir()
    first = counted(tokens, np.arange(9), tmp_path / "shards", judge)
    batches = (judge.log / str(os.getpid())).read_text()
    again = counted(tokens, np.arange(9), tmp_path / "shards", judge)
    assert (judge.log / str(os.getpid())).read_text() == batches
    np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("damage", ["changed", "cut", "emptied"])
def test_a_damaged_shard_is_named_and_computed_again(tokens, tmp_path, capsys, damage):
    first = counted(tokens, np.arange(len(TEXTS)), tmp_path)
    before, path = files(tmp_path), tmp_path / "shard-00002.parquet"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 4] ^= 1
    path.write_bytes({"changed": bytes(raw), "cut": bytes(raw[:-20]), "emptied": b""}[damage])
    np.testing.assert_array_equal(counted(tokens, np.arange(len(TEXTS)), tmp_path), first)
    assert files(tmp_path) == before
    assert "shard-00002.parquet is damaged" in " ".join(capsys.readouterr().err.split())


def test_a_failing_shard_is_named_with_its_document_and_the_rest_is_kept(place, tmp_path):
    texts = [*words(30), "good ! bad", *words(30, seed=1)]
    corpus = make_corpus(place, texts)
    tokens = make_tokens(place, corpus, make_byte_tokenizer(place, corpus))
    judge, rows = Counting(bad=int(tokens.document(30)[5])), np.arange(len(texts))
    place_of_30 = rf"document 30 \(id {int(corpus.ids[30]):016x}\): ValueError: an exclamation mark"
    with pytest.raises(DeltError, match=rf"counting: shard \d+ of \d+, {place_of_30}\. \d+ of \d+ shards are kept"):
        counted(tokens, rows, tmp_path, judge)
    shards = Shards(tmp_path, cut(judge.windowing.sizes(tokens.lengths[rows])), judge.width)
    assert len(shards.missing()) == 1
    assert shards.items(shards.missing()[0]).start <= 30 < shards.items(shards.missing()[0]).stop
    with pytest.raises(DeltError, match=place_of_30):
        counted(tokens, rows, tmp_path, judge)


def test_a_judge_that_fails_everywhere_gives_up(place, tmp_path):
    corpus = make_corpus(place, [f"! {i}" for i in range(100)])
    tokens = make_tokens(place, corpus, make_byte_tokenizer(place, corpus))
    with pytest.raises(DeltError, match="0 of 10 shards are kept"):
        counted(tokens, np.arange(100), tmp_path, Counting(bad=int(tokens.document(0)[0])))
    assert len(list(tmp_path.glob("failed-*"))) == map_module.MOST_FAILURES


def test_numbers_of_another_shape_are_named(tokens, tmp_path):
    with pytest.raises(DeltError, match=r"document 1 .*the judgement has the shape \(1, 4\) instead of \(1, 3\)"):
        counted(tokens, [1], tmp_path, Narrow())


def test_shards_of_other_documents_or_another_judge_are_refused(tokens, tmp_path):
    counted(tokens, [1, 2], tmp_path)
    for rows, judge in (([2, 1], COUNTING), ([1, 2], Counting(context_tokens=9))):
        with pytest.raises(StoreError, match="shards of other documents or another model"):
            counted(tokens, rows, tmp_path, judge)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_documents(place, tmp_path, monkeypatch):
    monkeypatch.setattr(shards_module, "SHARD_SIZE", 1 << 14)
    monkeypatch.setattr(shards_module, "SHARD_ITEMS", 1 << 10)
    corpus = make_corpus(place, [f"{i:07d}" for i in range(1000)])
    tokens, peaks = make_tokens(place, corpus, make_byte_tokenizer(place, corpus)), []
    for count in (5_000, 30_000):
        rows = np.arange(count) % 1000
        tracemalloc.start()
        counted(tokens, rows, tmp_path / str(count), Counting(reads="beginning"), batch_tokens=2048)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The result (4 float64), the sizes and the rows of the additional documents, and nothing else.
    assert peaks[1] - peaks[0] < 25_000 * 8 * 12


def test_shards_are_those_of_the_same_judge_after_the_store_was_moved():
    places = (("/a", "k"), ("/b/c", "k"), ("/a", "j"))
    judges = [TokenLossJudge(f"{root}/store/model/{key}/model", None, 16) for root, key in places]
    first, moved, other = map(settings_of, judges)
    assert first == moved != other
