"""Requests of benchmarks: by one process against lm-evaluation-harness alone, and by two against one."""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from benchmarks.fixtures import NumberedStdlib, config, tokenized
from benchmarks.map_documents import CONTEXT_TOKENS, MODEL, QUICK_SHARD, one_thread, resources
from benchmarks.table import Row, alternate, median_ratio, spread
from delt_exp.config.build import build
from delt_exp.eval_dataset.isolation import silenced
from delt_exp.eval_dataset.requests import RequestItems, RequestJudge
from delt_exp.mapping import shards
from delt_exp.mapping.map_documents import map_items
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.runtime import Runtime
from delt_exp.store.store import Store
from delt_exp.tokenizer.base import Tokenizer

CONTEXT_CHARS, ANSWER_CHARS, NUM_ANSWERS = 400, 40, 4
KIND = "loglikelihood"
Pairs = list[tuple[str, str]]


def measure(quick: bool) -> list[Row]:
    """Return a row for one process and two for two; every process has one thread."""
    if quick:
        shards.SHARD_SIZE = QUICK_SHARD
    with one_thread(), TemporaryDirectory() as name:
        return _speed(Path(name), *((200, 400, 1) if quick else (2_000, 20_000, 5)))


def _fixture(folder: Path, num_pairs: int) -> tuple[Pairs, RequestJudge]:
    """Return contexts, each with four answers, and the judge that has an untrained model."""
    cfg = config(*MODEL)
    text, tokenizer = tokenized(cfg, NumberedStdlib(num_pairs * 1000), Store(folder / "store", "size"))
    build(cfg.model).make_network(tokenizer, 0).save_pretrained(folder / "model")
    plain = (" ".join(t.split()) for t in text.corpus.texts())
    long = (t for t in plain if len(t) >= CONTEXT_CHARS + NUM_ANSWERS * ANSWER_CHARS)
    # An answer begins a word: one that goes on with the last token of its context may have no token of its own.
    pairs = [
        (document[:CONTEXT_CHARS].rstrip(), f" {document[CONTEXT_CHARS + i * ANSWER_CHARS :][:ANSWER_CHARS].strip()}")
        for document in islice(long, num_pairs // NUM_ANSWERS)
        for i in range(NUM_ANSWERS)
    ]
    return pairs, RequestJudge(KIND, folder / "model", tokenizer.folder, CONTEXT_TOKENS)


def _speed(folder: Path, num_bare: int, num_shared: int, num_repeats: int) -> list[Row]:
    pairs, judge = _fixture(folder, num_shared)
    few, clock = pairs[:num_bare], time.process_time  # other programs take no part in it
    ours, bare = alternate(num_repeats, partial(_mapped, few, judge, 1, clock), partial(_bare, few, judge, clock))
    both = [partial(_mapped, pairs, judge, devices, time.perf_counter) for devices in (2, 1)]
    two, one, most = alternate(1, *both, partial(_two_bare, few, judge))
    rates = f"{np.median(two):,.0f} and {np.median(one):,.0f} requests/s, start of processes included"
    return [
        Row("requests of benchmarks by one process, per CPU second", "lm-evaluation-harness", median_ratio(ours, bare),
            "x", f"Llama 4 x 64, {len(few):,} requests; {spread(ours, bare)}", at_least=0.95),
        Row(f"{len(pairs):,} requests of benchmarks, requests/s", "one process", median_ratio(two, one), "x",
            f"two processes of one thread; {rates}", at_least=1.6),
        Row("the same two processes, requests/s", "two of lm-evaluation-harness at once", median_ratio(two, most), "x",
            f"what the machine has for two: {np.median(most):,.0f} requests/s", at_least=0.8),
    ]  # fmt: skip


def _mapped(pairs: Pairs, judge: RequestJudge, devices: int, clock: Callable[[], float]) -> float:
    """Return requests per second."""
    items = RequestItems(pairs, [str(number) for number in range(len(pairs))], judge)
    with TemporaryDirectory() as folder:
        given, started = resources(Path(folder), devices), clock()
        map_items(given, items, Path(folder) / "shards", "asking", None)
        return len(pairs) / (clock() - started)


def _bare(pairs: Pairs, judge: RequestJudge, clock: Callable[[], float]) -> float:
    """Return the requests per second of the library itself, in passes of the same size."""
    started, batch_size = clock(), Runtime("cpu", None).tokens_per_pass() // CONTEXT_TOKENS
    tokenizer = Tokenizer(judge.tokenizer_folder).pretrained()
    with silenced():
        network = load_causal_lm(judge.model_folder)
        model = HFLM(network, tokenizer=tokenizer, batch_size=batch_size, max_length=CONTEXT_TOKENS)
        model.loglikelihood([Instance(KIND, {}, pair, 0) for pair in pairs], disable_tqdm=True)
    return len(pairs) / (clock() - started)


def _two_bare(pairs: Pairs, judge: RequestJudge) -> float:
    """Return the requests per second of two processes of the library that run at once: no program can give more."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        return sum(pool.map(_bare_alone, *zip(*[(pairs, judge)] * 2, strict=True)))


def _bare_alone(pairs: Pairs, judge: RequestJudge) -> float:
    torch.set_num_threads(1)
    return _bare(pairs, judge, time.perf_counter)
