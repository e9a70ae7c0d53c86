"""Corpus to token shards, against `tokenizers` alone on the same text in memory."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tokenizers import Tokenizer as RustTokenizer

from benchmarks.fixtures import NumberedStdlib, config, tokenized
from benchmarks.table import Row, alternate, median_ratio, spread
from delt_exp.corpus.tokens import write_tokens
from delt_exp.store.store import Store

BATCH_DOCUMENTS = 1000  # what `datasets.map(batched=True)` hands over; one call over all texts is no faster


def measure(quick: bool) -> list[Row]:
    """Return the rate of `write_tokens` over that of `encode_batch` and of its faster variant without offsets."""
    total_bytes, num_repeats = (4_000_000, 3) if quick else (40_000_000, 7)
    with TemporaryDirectory() as name:
        folder = Path(name)
        candidates, tokenizer = tokenized(config(), NumberedStdlib(total_bytes), Store(folder, "size"))
        texts = list(candidates.corpus.texts())
        rust = RustTokenizer.from_file(str(tokenizer.folder / "tokenizer.json"))

        def ours() -> float:
            with TemporaryDirectory(dir=folder) as shards:
                return _rate(total_bytes, lambda: write_tokens(candidates.corpus, tokenizer, Path(shards)))

        def bare(encode: Callable[..., Any]) -> float:
            return _rate(total_bytes, lambda: _encode_all(encode, texts))

        sides = (ours, lambda: bare(rust.encode_batch), lambda: bare(rust.encode_batch_fast))
        shards, slow, fast = alternate(num_repeats, *sides)
    size = f"{total_bytes / 1e6:.0f} MB of standard library, BPE 4096"
    what = "tokenising to shards"
    return [
        Row(what, "`encode_batch`", median_ratio(shards, slow), "x", f"{size}; {spread(shards, slow)}", at_least=0.8),
        Row(what, "`encode_batch_fast`", median_ratio(shards, fast), "x", f"{size}; {spread(shards, fast)}"),
    ]


def _rate(total_bytes: int, work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return total_bytes / (time.perf_counter() - started)


def _encode_all(encode: Callable[..., Any], texts: list[str]) -> None:
    for start in range(0, len(texts), BATCH_DOCUMENTS):
        encode(texts[start : start + BATCH_DOCUMENTS], add_special_tokens=False)
