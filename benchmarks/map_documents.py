"""Documents judged by a model: against a bare loop, by two processes against one, and the memory of many documents."""

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from benchmarks.fixtures import NumberedStdlib, config, tokenized
from benchmarks.process import in_new_process
from benchmarks.table import Row, alternate, median_ratio, spread
from delt_exp.config.build import build
from delt_exp.corpus.tokens import Tokens
from delt_exp.dataset.base import Document
from delt_exp.mapping import shards
from delt_exp.mapping.map_documents import map_documents
from delt_exp.model.token_loss import TokenLossJudge
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.resources import Resources
from delt_exp.runtime import Runtime
from delt_exp.store.memory import PeakMemory
from delt_exp.store.store import Store

MODEL = ("model.network.config.hidden_size=64", "model.network.config.intermediate_size=256")
TINY = ("model.network.config.hidden_size=32", "model.network.config.num_hidden_layers=1")
QUICK_SHARD = 1 << 14  # so that two processes have something to share
CONTEXT_TOKENS = 256


@dataclass(frozen=True)
class Numbers:
    """Short documents: the numbers below `count`."""

    VERSION: ClassVar[int] = 1
    count: int

    def documents(self) -> Iterator[Document]:
        """Yield the documents."""
        return (Document(f"{number:,}") for number in range(self.count))

    def fingerprint(self) -> str:
        """Return nothing: `count` says all."""
        return ""


def measure(quick: bool) -> list[Row]:
    """Return a row for each of the three questions; every process has one thread."""
    if quick:
        shards.SHARD_SIZE = QUICK_SHARD
    with one_thread(), TemporaryDirectory() as name:
        return [
            *_speed(Path(name), *((400_000, 400_000, 1) if quick else (100_000_000, 3_000_000, 5))),
            _memory(Path(name), *((1_000, 10_000) if quick else (10_000, 1_000_000))),
        ]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Inside, torch computes with one thread, here and in workers."""
    before, threads = os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()
    os.environ["OMP_NUM_THREADS"] = "1"  # of workers
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    if before is None:
        del os.environ["OMP_NUM_THREADS"]
    else:
        os.environ["OMP_NUM_THREADS"] = before


def _fixture(dataset: Any, folder: Path, model: Sequence[str]) -> tuple[Tokens, Path]:
    """Return the tokens of a dataset and the folder of an untrained model that reads them."""
    cfg = config(*model)
    candidates, tokenizer = tokenized(cfg, dataset, Store(folder / "store", "size"))
    build(cfg.model).make_network(tokenizer, 0).save_pretrained(folder / "model")
    return candidates.tokens, folder / "model"


def resources(folder: Path, devices: int) -> Resources:
    """Return a store in `folder`, and a trainer of so many CPU processes."""
    overrides = ["trainer=ddp", "trainer.accelerator=cpu", f"trainer.devices={devices}"] if devices > 1 else []
    return Resources(Store(folder, "size"), None, build(config(*overrides).trainer), Runtime("cpu", None))


def _speed(folder: Path, total_bytes: int, bare_bytes: int, num_repeats: int) -> list[Row]:
    tokens, model = _fixture(NumberedStdlib(total_bytes), folder, MODEL)
    few = np.arange(int(np.searchsorted(np.cumsum(tokens.lengths), bare_bytes // 4)) + 1)
    clock = time.process_time  # other programs take no part in it
    sides = [partial(_mapped, tokens, few, model, 1, clock), partial(_bare, tokens, few, model, clock)]
    ours, bare = alternate(num_repeats, *sides)
    everything = np.arange(len(tokens))
    both = [partial(_mapped, tokens, everything, model, devices, time.perf_counter) for devices in (2, 1)]
    few_twice = partial(_two_bare, tokens, few, model)
    two, one, most = alternate(1 if total_bytes > bare_bytes else num_repeats, *both, few_twice)
    size = f"{total_bytes / 1e6:g} MB, {tokens.meta['tokens'] / 1e6:.1f} M tokens"
    rates = f"{np.median(two):,.0f} and {np.median(one):,.0f} tokens/s, start of processes included"
    return [
        Row("perplexity by one process, tokens per CPU second", "bare loop", median_ratio(ours, bare), "x",
            f"Llama 4 x 64, {np.median(ours):,.0f} tokens; {spread(ours, bare)}", at_least=0.95),
        Row(f"perplexity of {size}, tokens/s", "one process", median_ratio(two, one), "x",
            f"two processes of one thread; {rates}", at_least=1.8),
        Row("the same two processes, tokens/s", "two bare loops at once", median_ratio(two, most), "x",
            f"what the machine has for two: {np.median(most):,.0f} tokens/s", at_least=0.9),
    ]  # fmt: skip


def _mapped(tokens: Tokens, rows: np.ndarray, model: Path, devices: int, clock: Callable[[], float]) -> float:
    """Return tokens per second."""
    judge = TokenLossJudge(str(model), None, CONTEXT_TOKENS)
    with TemporaryDirectory() as folder:
        given, started = resources(Path(folder), devices), clock()
        map_documents(given, tokens, rows, judge, Path(folder) / "shards", "scoring")
        return float(tokens.lengths[rows].sum() / (clock() - started))


def _bare(tokens: Tokens, rows: np.ndarray, model: Path, clock: Callable[[], float]) -> float:
    """Return the tokens per second of a plain loop: windows sorted by length, padded, in passes of the same size."""
    started, begin = clock(), np.array([tokens.begin_id])
    network, per_pass = load_causal_lm(str(model)), Runtime("cpu", None).tokens_per_pass()
    windows: list[Any] = []
    for row in rows:
        ids = np.concatenate([begin, tokens.document(row)]).astype(np.int64)
        windows += [(row, ids[start : start + CONTEXT_TOKENS + 1]) for start in range(0, len(ids) - 1, CONTEXT_TOKENS)]
    windows.sort(key=lambda window: -len(window[1]))
    sums, position = np.zeros(len(rows)), 0
    with torch.inference_mode():
        while position < len(windows):
            width = len(windows[position][1])
            chosen = windows[position : position + max(1, per_pass // (width - 1))]
            ids_WT = torch.full((len(chosen), width), -100)
            for i, (_, ids) in enumerate(chosen):
                ids_WT[i, : len(ids)] = torch.from_numpy(ids)
            logits_WTV = network(input_ids=ids_WT[:, :-1].clamp(min=0), use_cache=False).logits
            losses = cross_entropy(logits_WTV.flatten(0, 1), ids_WT[:, 1:].flatten(), reduction="none")
            np.add.at(sums, [row for row, _ in chosen], losses.view(len(chosen), -1).double().sum(1).numpy())
            position += len(chosen)
    return float(tokens.lengths[rows].sum() / (clock() - started))


def _two_bare(tokens: Tokens, rows: np.ndarray, model: Path) -> float:
    """Return the tokens per second of two bare loops that run at once, each in a process of its own.

    Two cores that share a clock, a cache or a host give less than twice one core, and no program can give more.
    """
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        return sum(pool.map(_bare_alone, *zip(*[(tokens, rows, model)] * 2, strict=True)))


def _bare_alone(tokens: Tokens, rows: np.ndarray, model: Path) -> float:
    torch.set_num_threads(1)
    return _bare(tokens, rows, model, time.perf_counter)


def _memory(folder: Path, few: int, many: int) -> Row:
    peaks = [in_new_process(_peak, folder / str(count), count) for count in (few, many)]
    detail = f"{peaks[0] / 1e6:.0f} MB, and {(peaks[1] - peaks[0]) / many:.0f} bytes more for each document"
    what, against = f"peak memory, {many:,} short documents", f"{few:,} documents"
    return Row(what, against, peaks[1] / peaks[0], "x", detail, below=1.25)


def _peak(folder: Path, count: int) -> int:
    """Return the largest resident memory while the perplexity of numbers is computed."""
    folder.mkdir()
    tokens, model = in_new_process(_fixture, Numbers(count), folder, TINY)
    judge, peak = TokenLossJudge(str(model), None, CONTEXT_TOKENS), PeakMemory()
    with peak.measure():
        map_documents(resources(folder, 1), tokens, np.arange(count), judge, folder / "shards", "scoring")
    return peak.resident_bytes
