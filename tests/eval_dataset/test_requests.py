"""Requests of benchmarks as a map: several processes, killed or not, give the bytes of one."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM

from delt_exp.distributed.job import write_job
from delt_exp.errors import DeltError
from delt_exp.eval_dataset.multiple_choice import LocalTasks
from delt_exp.eval_dataset.requests import RequestItems, RequestJudge
from delt_exp.mapping import shards as shards_module
from delt_exp.mapping.map_documents import MapJob, judge_shards, map_items
from delt_exp.mapping.shards import Shards, cut
from delt_exp.store.store import Store
from tests.alignment.tiny import sentences
from tests.eval_dataset.models import make_model
from tests.eval_dataset.test_multiple_choice import LogLikelihood, choice_task, completion_task
from tests.helpers import RUNTIME, TRAINER, make_resources, wait_until, words
from tests.processes import exit_status, start_job

pytest.importorskip("lm_eval", reason="the extra eval is not installed")

SEVERAL = 400  # requests, three or four to a shard
SAMPLED = {"until": ["?"], "max_gen_toks": 8, "do_sample": True, "temperature": 1.0}
TWO = replace(TRAINER, strategy="ddp", devices=2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("trained"), 64)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(shards_module, "SHARD_SIZE", 250)


@pytest.fixture
def resources(tmp_path, trained):
    return make_resources(Store(tmp_path / "store", verify="hash"), trained.tokenizer)


def asked(trained, kind, arguments):
    judge = RequestJudge(kind, trained.pretrained, trained.tokenizer.folder, trained.context_tokens)
    return RequestItems(arguments, [f"quiz, example {number}" for number in range(len(arguments))], judge)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.glob("shard-*.parquet")}


@pytest.mark.slow
def test_answers_do_not_depend_on_the_shards(trained, resources, tmp_path, monkeypatch):
    pairs = [(text, f" {word}") for text in sentences(3) for word in ("no", "yes", "a longer one")]
    log_p = LogLikelihood(trained)
    for size in (1, 250, 10**6):
        monkeypatch.setattr(shards_module, "SHARD_SIZE", size)
        found = map_items(resources, asked(trained, "loglikelihood", pairs), tmp_path / str(size), "asking", None)
        short = [row for row, (text, answer) in enumerate(pairs) if len(text + answer) <= 65]
        expected = [log_p(*pairs[row]) for row in short]
        assert found[short, 0] == pytest.approx(expected, rel=1e-4)
        assert (found[short, 2] == 0).all()
        assert found[:, 2].any()


@pytest.mark.slow
def test_a_text_is_read_in_windows_that_are_filled_up_with_what_comes_before(trained, resources, tmp_path):
    text = "order " * 20
    ids, model = trained.tokenizer.encode([text])[0], AutoModelForCausalLM.from_pretrained(trained.pretrained).eval()

    def log_p(tokens, count):
        with torch.no_grad():
            log_probs = model(torch.tensor([tokens[:-1]])).logits[0].log_softmax(-1)
        return sum(log_probs[t - 1, tokens[t]].item() for t in range(len(tokens) - count, len(tokens)))

    items = asked(trained, "loglikelihood_rolling", [(text,)])
    ((found,),) = map_items(resources, items, tmp_path / "whole", "asking", None)
    # 120 bytes: 64 after the begin token, and the other 56 after as many as the context has room for.
    assert found == pytest.approx(log_p([trained.tokenizer.begin_id, *ids[:64]], 64) + log_p(ids[55:], 56), rel=1e-4)


@pytest.mark.slow
def test_what_is_written_is_text_and_drawn_alike_by_every_process(trained, resources, tmp_path):
    prompts = [(text, SAMPLED) for text in ["Repeat it", *sentences(4)]]
    items = asked(trained, "generate_until", prompts)
    found = map_items(resources, items, tmp_path / "alone", "asking", None)
    assert found.shape == (5, 2)
    assert all(isinstance(text, str) for text in found[:, 0])
    assert len({*found[:, 0]}) > 1
    assert found[:, 1].tolist() == ["", "cut", "cut", "cut", "cut"]
    for path in sorted((tmp_path / "alone").glob("shard-*"))[1:]:  # another process takes the first shard alone
        path.unlink()
    again = map_items(resources, items, tmp_path / "alone", "asking", None)
    assert (again == found).all()
    assert len(files(tmp_path / "alone")) == 5


@pytest.mark.slow
def test_two_processes_give_the_examples_of_one(trained, resources, tmp_path):
    records = [
        {"question": text, "options": ["no", "perhaps", word], "answer": number % 3}
        for number, (text, word) in enumerate(zip(words(40), sentences(40), strict=True))
    ]
    tasks = {"quiz": choice_task(tmp_path, records), "end": completion_task(tmp_path)}
    one = LocalTasks(None, tasks).evaluate("bench", trained, resources)
    shared = replace(resources, store=Store(tmp_path / "shared", verify="hash"), trainer=TWO)
    two = LocalTasks(None, tasks).evaluate("bench", trained, shared)
    assert two.measures == one.measures
    assert pq.read_table(two.folder / "examples.parquet") == pq.read_table(one.folder / "examples.parquet")
    assert {path.name for path in two.folder.iterdir()} == {"entry.json", "examples.parquet", "measures.json"}


@pytest.mark.slow
def test_a_process_is_killed_two_others_join_and_the_bytes_are_those_of_one(trained, resources, tmp_path):
    pairs = [(text, " no") for text in sentences(SEVERAL)]
    items = asked(trained, "loglikelihood", pairs)
    shards = Shards(tmp_path / "several", cut(items.sizes()), items.judge.width)
    shards.open(items.source)
    job = write_job(tmp_path / "several" / "job", judge_shards, MapJob(items, shards, RUNTIME))
    first = start_job(job)
    wait_until(lambda: files(tmp_path / "several"))
    first.kill()
    first.join()
    kept = len(files(tmp_path / "several"))
    assert 0 < kept < len(shards)
    others = [start_job(job), start_job(job)]
    assert [exit_status(worker) for worker in others] == [0, 0]
    map_items(resources, items, tmp_path / "alone", "asking", None)
    assert files(tmp_path / "several") == files(tmp_path / "alone")


@pytest.mark.slow
def test_a_killed_benchmark_continues_with_the_requests_that_are_missing(trained, resources, tmp_path, monkeypatch):
    tasks = {"quiz": choice_task(tmp_path), "end": completion_task(tmp_path)}
    answered, opened = [], RequestJudge.open

    def open_to_be_killed_once(judge, device):
        answer = opened(judge, device)

        def watched(requests):
            answered.append(requests.first)
            if len(answered) == 2:
                raise KeyboardInterrupt
            return answer(requests)

        return watched

    monkeypatch.setattr(RequestJudge, "open", open_to_be_killed_once)
    with pytest.raises(KeyboardInterrupt):
        LocalTasks(None, tasks).evaluate("bench", trained, resources)
    found = LocalTasks(None, tasks).evaluate("bench", trained, resources)
    assert answered[:3] == [0, answered[1], answered[1]]
    assert len({*answered}) == len(answered) - 1
    fresh = replace(resources, store=Store(tmp_path / "fresh", verify="hash"))
    assert LocalTasks(None, tasks).evaluate("bench", trained, fresh).measures == found.measures


def test_a_request_that_fails_is_named_with_its_example(trained, resources, tmp_path):
    items = asked(trained, "loglikelihood", [("Is it?", " no"), ("Is it?", "")])
    with pytest.raises(DeltError, match=r"asking: shard 0 of 1, quiz, example 1: AssertionError"):
        map_items(resources, items, tmp_path, "asking", None)


def test_requests_are_cut_by_what_is_read_and_written(trained):
    read = asked(trained, "loglikelihood", [("x" * 100, "y" * 100), ("ü", "")])
    assert read.sizes().tolist() == [164, 2]  # a context of 64 tokens, an answer is read whole
    written = asked(trained, "generate_until", [("x", {"max_gen_toks": 10})])
    assert written.sizes().tolist() == [1 + 128 * 10]
    assert np.array_equal(asked(trained, "loglikelihood_rolling", [("xyz",)]).sizes(), [3])
