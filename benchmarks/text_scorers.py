"""Scorers that read texts and no model: MB a second of one core, and near-duplicates among a million documents."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from omegaconf import DictConfig
from threadpoolctl import threadpool_limits

from benchmarks.fixtures import NumberedStdlib, config
from benchmarks.process import in_new_process
from benchmarks.table import Row
from delt_exp.config.build import build, construct
from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.stages import corpus_stage
from delt_exp.corpus.tokens import TokenizedCorpus, Tokens
from delt_exp.corpus.writing import CorpusSettings
from delt_exp.ngrams.minhash import EXACT_BITS, clusters
from delt_exp.resources import Resources
from delt_exp.runtime import Runtime
from delt_exp.scorer.base import Pool
from delt_exp.store.evidence import Evidence
from delt_exp.store.memory import PeakMemory
from delt_exp.store.store import Store

# Scorer and the megabytes a second that are aimed at: DSIR's own rate is the Pile in 4.4 h on 96 cores, 0.5.
SCORERS = {"dsir": 5.0, "ngram_classifier": 5.0, "near_duplicates": None, "compression": None, "heuristics": None}
WARM_BYTES = 300_000
MILLION, AIM_SECONDS, AIM_GB = 1_000_000, 600.0, 4.0


def measure(quick: bool) -> list[Row]:
    """Return the rates of all scorers, and what clustering a million documents takes."""
    total_bytes, num_documents = (5_000_000, 20_000) if quick else (30_000_000, MILLION)
    rows = []
    for name, aim in SCORERS.items():
        num_bytes, count, seconds = in_new_process(_scored, name, total_bytes)
        rate, how = num_bytes / 1e6 / seconds, f"{num_bytes / 1e6:.0f} MB of standard library in CPU time, all of it"
        rows.append(Row(f"scorer={name}", "-", rate, "MB/s a core", how, at_least=aim))
        if name == "near_duplicates":
            hashing = MILLION / count * seconds
    seconds, gb = in_new_process(_clustered, num_documents)
    what, how = (
        "near-duplicates of 1 M documents",
        f"hashing {hashing:.0f} s as above, of {num_bytes / count:.0f} bytes each",
    )
    total = hashing + seconds * MILLION / num_documents
    rows.append(
        Row(what, "-", total, "CPU s", f"{how}; clusters of {num_documents:,} {seconds:.1f} s", below=AIM_SECONDS)
    )
    rows.append(Row(what, "-", gb, "GB", f"keys and clusters of {num_documents:,}", below=AIM_GB))
    return rows


def _scored(name: str, total_bytes: int) -> tuple[int, int, float]:
    """Return bytes, documents and the CPU seconds of scoring all of them on one thread, fitting included.

    What is loaded and made once, such as the table of characters, is there before.
    """
    with TemporaryDirectory() as folder, threadpool_limits(1):
        cfg = config(f"scorer={name}")
        _pool(cfg, WARM_BYTES, Path(folder) / "warm", lambda pool: build(cfg.scorer).score(pool))
        return _pool(cfg, total_bytes, Path(folder) / "measured", lambda pool: build(cfg.scorer).score(pool))


def _pool(cfg: DictConfig, total_bytes: int, folder: Path, score: Callable[[Pool], Any]) -> tuple[int, int, float]:
    store, settings = Store(folder / "store", "size"), CorpusSettings(cfg.corpus.max_document_chars, False)
    corpus = corpus_stage(store, NumberedStdlib(total_bytes), settings)
    target = corpus_stage(store, build(cfg.target_dataset), settings)
    resources = Resources(store, None, build(cfg.trainer), construct(Runtime, cfg.runtime, "runtime"))
    pool = Pool(_texts(corpus), _texts(target), resources, folder, Evidence(folder / "evidence"))
    return int(corpus.whole_bytes.sum(dtype=np.int64)), len(corpus), _cpu_seconds(lambda: score(pool))


def _texts(corpus: Corpus) -> TokenizedCorpus:
    return TokenizedCorpus(corpus, Tokens(corpus.folder))  # whose tokens nobody reads


def _clustered(num_documents: int) -> tuple[float, float]:
    """Return seconds and gigabytes of clustering documents of which a tenth have a near-duplicate."""
    rng, empty = np.random.default_rng(0), PeakMemory()
    with empty.measure():
        pass
    peak = PeakMemory()
    with peak.measure():
        keys = rng.integers(2**EXACT_BITS, size=(num_documents, 14)).astype(np.float64)
        copies = rng.integers(num_documents, size=(2, num_documents // 20))
        keys[copies[0]] = keys[copies[1]]
        seconds = _cpu_seconds(lambda: clusters(keys))
    return seconds, (peak.resident_bytes - empty.resident_bytes) / 1e9


def _cpu_seconds(function: Callable[[], Any]) -> float:
    started = time.process_time()
    function()
    return time.process_time() - started
