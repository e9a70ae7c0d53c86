"""Embeddings of batches as a map: several processes, killed or not, give the bytes of one."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from delt_exp.alignment.table import Describer
from delt_exp.alignment.task2vec.batches import BatchItems, FisherJudge, TextBatches
from delt_exp.alignment.task2vec.diversity import ArtificialBatches
from delt_exp.distributed.job import write_job
from delt_exp.errors import DeltError
from delt_exp.mapping.map_documents import MapJob, judge_shards, map_items
from delt_exp.mapping.shards import Shards, cut
from tests.alignment.tiny import make_resources, make_text, sentences, task2vec
from tests.helpers import RUNTIME, TRAINER, wait_until
from tests.processes import exit_status, start_job

METRIC = task2vec(num_batches=12, batch_documents=4, epochs=60)  # slow enough to be killed half way


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("batches")


@pytest.fixture(scope="module")
def resources(place):
    return make_resources(place)


@pytest.fixture(scope="module")
def text(place):
    return make_text(place, sentences(48))


@pytest.fixture(scope="module")
def items(resources, text):
    return BatchItems(TextBatches(text.corpus, METRIC._batches(text.ids), METRIC.seed), METRIC.judge(resources))


@pytest.fixture(scope="module")
def alone(place, resources, items):
    """The shards of one process."""
    map_items(resources, items, place / "alone", "embedding", None)
    return files(place / "alone")


def files(folder):
    return {path.name: path.read_bytes() for path in folder.glob("shard-*.parquet")}


@pytest.mark.slow
def test_every_batch_is_a_shard_and_two_processes_write_the_bytes_of_one(resources, items, alone, tmp_path):
    trainer = replace(TRAINER, strategy="ddp", devices=2)
    found = map_items(replace(resources, trainer=trainer), items, tmp_path, "embedding", None)
    assert found.shape == (12, items.judge.width)
    assert files(tmp_path) == alone
    assert len(alone) == 12


@pytest.mark.slow
def test_a_process_is_killed_two_others_join_and_only_its_batch_is_lost(items, alone, tmp_path):
    shards = Shards(tmp_path, cut(items.sizes()), items.judge.width)
    shards.open(items.source)
    job = write_job(tmp_path / "job", judge_shards, MapJob(items, shards, RUNTIME))
    first = start_job(job)
    wait_until(lambda: len(files(tmp_path)) >= 2)
    first.kill()
    first.join()
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("shard-*.parquet")}
    assert len(kept) < 12
    others = [start_job(job), start_job(job)]
    assert [exit_status(worker) for worker in others] == [0, 0]
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in kept} == kept
    assert files(tmp_path) == alone


@pytest.mark.slow
def test_a_killed_description_continues_with_the_batches_that_are_missing(resources, text, alone, place, monkeypatch):
    embedded, opened = [], FisherJudge.open

    def open_to_be_killed_once(judge, device):
        embed = opened(judge, device)

        def watched(batches, batch, pass_tokens):
            embedded.append(batch)
            if len(embedded) == 6:
                raise KeyboardInterrupt
            return embed(batches, batch, pass_tokens)

        return watched

    monkeypatch.setattr(FisherJudge, "open", open_to_be_killed_once)
    with pytest.raises(KeyboardInterrupt):
        Describer(METRIC, resources).describe(text)
    described = Describer(METRIC, resources).describe(text)
    assert embedded == [0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 11]
    expected = [pq.read_table(place / "alone" / name)["value"].to_pylist()[0] for name in sorted(alone)]
    assert np.array_equal(described.arrays["embeddings"], np.array(expected, np.float32))
    assert not list(resources.store.root.glob("description/*/parts"))


@pytest.mark.slow
def test_a_batch_that_fails_is_named_and_the_others_are_kept(resources, items, tmp_path):
    broken = replace(items, judge=replace(items.judge, width=items.judge.width + 1))
    with pytest.raises(DeltError, match=r"embedding: shard 0 of 12, batch 0 of 12: ValueError: could not broadcast"):
        map_items(resources, broken, tmp_path, "embedding", None)


@pytest.mark.parametrize("bound", ["lower bound", "upper bound"])
def test_every_process_draws_the_same_artificial_texts(bound):
    batches = ArtificialBatches(bound, (3, 2, 5), vocab_size=7, eos_id=6, seed=4)
    in_order = [list(batches.documents(batch, None)) for batch in range(3)]
    alone = [list(replace(batches).documents(batch, None)) for batch in (2, 0, 1)]
    for batch, documents in zip((2, 0, 1), alone, strict=True):
        for (ids, draw), (expected_ids, expected_draw) in zip(documents, in_order[batch], strict=True):
            assert np.array_equal(ids, expected_ids)
            assert draw == expected_draw
