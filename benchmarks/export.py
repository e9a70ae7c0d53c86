"""Megabytes a second of an export to JSONL, in the order of a run, against the least that a loop in Python can do."""

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np

from benchmarks.table import Row, alternate, median_ratio, spread
from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.tokens import Tokens, write_tokens
from delt_exp.corpus.writing import CorpusSettings, write_corpus
from delt_exp.dataset.base import Document
from delt_exp.export.source import Ordered
from delt_exp.export.writing import export
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.tokenizer.byte import ByteTokenizer

WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "\u2014", "\u00fcber", "den", "Zaun", '"so"', "said", "he.\n")


class _Texts:
    VERSION: ClassVar[int] = 1

    def __init__(self, num_documents: int) -> None:
        self.num_documents = num_documents

    def documents(self) -> Iterator[Document]:
        generator = np.random.default_rng(0)
        for number in range(self.num_documents):
            words = generator.integers(len(WORDS), size=360)  # about 2,000 characters, as long documents are cut
            yield Document(f"{number} " + " ".join(WORDS[word] for word in words), source="bench")

    def fingerprint(self) -> str:
        return str(self.num_documents)


def measure(quick: bool) -> list[Row]:
    """Return the speed of `export`, of one process, the SHA-256 of the shards included."""
    num_documents, repeats = (2_000, 1) if quick else (30_000, 5)
    with TemporaryDirectory() as name:
        source = _ordered(num_documents, Path(name))
        records = list(_plain(source))
        ours, theirs = alternate(repeats, partial(_export, source, Path(name)), partial(_bare, records, Path(name)))
        size = sum(file.stat().st_size for file in Path(name, "out").glob("*.jsonl"))
    rate = size / float(np.median(ours)) / 1e6
    how = (
        f"{num_documents:,} documents, {size / 1e6:.0f} MB, CPU seconds of one process, SHA-256 of the shards included"
    )
    return [
        Row("export to JSONL", "nothing", rate, "MB/s", how, at_least=100.0),
        Row(
            "export to JSONL", "json.dumps of records in memory", median_ratio(ours, theirs), "x", spread(ours, theirs)
        ),
    ]


def _ordered(num_documents: int, folder: Path) -> Ordered:
    for name in ("corpus", "tokens", "tokenizer"):
        (folder / name).mkdir()
    write_corpus(_Texts(num_documents), CorpusSettings(None, False), folder / "corpus")
    ByteTokenizer().make([], folder / "tokenizer")
    corpus = Corpus(folder / "corpus")
    write_tokens(corpus, Tokenizer(folder / "tokenizer"), folder / "tokens")
    generator = np.random.default_rng(0)
    order, scores = generator.permutation(num_documents), generator.normal(size=num_documents).astype(np.float32)
    record: dict[str, Any] = {
        "name": "bench", "id": "", "command": "", "commit": None,
        "choices": dict.fromkeys(("selector", "orderer", "scorer", "train_dataset"), "bench"),
        "config": {"selector": {}, "orderer": {}},
        "score": {"name": "chance", "unit": "none", "better": "higher", "explanation": "", "digest": ""},
        "selection": {"kept_documents": num_documents, "of_documents": num_documents},
    }  # fmt: skip
    return Ordered(folder, record, corpus, Tokens(folder / "tokens"), order, scores)


def _plain(source: Ordered) -> Iterator[dict[str, Any]]:
    for position, row in enumerate(source.rows.tolist()):
        text = source.corpus.document(row).text
        yield {"id": "0" * 16, "position": position, "score": 0.5, "source": "bench", "text": text}


def _export(source: Ordered, folder: Path) -> float:
    for path in folder.glob("out/*"):
        path.unlink()
    if (folder / "out").exists():
        (folder / "out").rmdir()
    started = time.process_time()
    export(source, "jsonl", folder / "out", shard_bytes=64_000_000, with_tokens=False)
    return time.process_time() - started


def _bare(records: list[dict[str, Any]], folder: Path) -> float:
    started = time.process_time()
    with (folder / "bare.jsonl").open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return time.process_time() - started
