"""Small corpora, tokens and pools for tests, made on disk as the program makes them."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.tokens import TokenizedCorpus, Tokens, write_tokens
from delt_exp.corpus.writing import CorpusSettings, write_corpus
from delt_exp.dataset.base import Document
from delt_exp.files import digest
from delt_exp.model.fresh import FreshNetwork
from delt_exp.model.objective import CrossEntropy
from delt_exp.model.optimizer import AdamW
from delt_exp.model.recipe import Recipe
from delt_exp.model.schedule import WarmupCosine
from delt_exp.resources import Resources
from delt_exp.runtime import Runtime
from delt_exp.scorer.base import Pool
from delt_exp.store.evidence import Evidence
from delt_exp.store.store import Store
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.tokenizer.byte import ByteTokenizer
from delt_exp.trainer.settings import TrainerSettings

RUNTIME = Runtime(device="cpu", batch_tokens=4096)
TRAINER = TrainerSettings(
    accelerator="cpu",
    devices=1,
    num_nodes=1,
    jobs_dir=None,
    strategy="single",
    precision="32-true",
    micro_batch_items=8,
    num_workers=0,
    compile=False,
    gradient_checkpointing=False,
    log_steps=10,
    checkpoint_steps=1000,
)

# Base-10 logarithms: unigram p, back-off; bigram p. Sums of a few of them are easy to do by hand.
BIGRAM_ARPA = """\
\\data\\
ngram 1=5
ngram 2=4

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.5
-0.7\t</s>
-0.6\ta\t-0.3
-0.8\tb\t-0.2

\\2-grams:
-0.4\t<s> a
-0.25\ta b
-0.1\tb </s>
-0.9\ta a

\\end\\
"""


@dataclass(frozen=True)
class ListDataset:
    """A dataset held in memory; strings stand for documents without a prompt."""

    items: Sequence[str | Document]
    VERSION = 1

    def documents(self) -> Iterator[Document]:
        return (Document(item) if isinstance(item, str) else item for item in self.items)

    def fingerprint(self) -> str:
        return digest([[d.text, d.prompt, d.source] for d in self.documents()])


def new_folder(tmp_path: Path) -> Path:
    """Return a new empty folder under `tmp_path`."""
    tmp_path.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=tmp_path))


def make_corpus(
    tmp_path: Path,
    items: Sequence[str | Document],
    *,
    max_document_chars: int | None = None,
    drop_duplicates: bool = False,
) -> Corpus:
    folder = new_folder(tmp_path)
    write_corpus(ListDataset(items), CorpusSettings(max_document_chars, drop_duplicates), folder)
    return Corpus(folder)


def write_arpa(tmp_path: Path, arpa: str = BIGRAM_ARPA) -> Path:
    path = new_folder(tmp_path) / "model.arpa"
    path.write_text(arpa)
    return path


def make_byte_tokenizer(tmp_path: Path, corpus: Corpus) -> Tokenizer:
    folder = new_folder(tmp_path)
    ByteTokenizer().make(corpus.texts(), folder)
    return Tokenizer(folder)


def make_tokens(tmp_path: Path, corpus: Corpus, tokenizer: Tokenizer) -> Tokens:
    folder = new_folder(tmp_path)
    write_tokens(corpus, tokenizer, folder)
    return Tokens(folder)


def make_resources(store: Store, tokenizer: Tokenizer | None) -> Resources:
    return Resources(store, tokenizer, TRAINER, RUNTIME)


def make_pool(
    tmp_path: Path,
    texts: Sequence[str | Document],
    target_texts: Sequence[str | Document] | None = None,
) -> Pool:
    """Return a pool over `texts` with the byte tokenizer, and over `target_texts` where they are given."""
    corpus = make_corpus(tmp_path, texts)
    tokenizer = make_byte_tokenizer(tmp_path, corpus)

    def tokenized(corpus: Corpus) -> TokenizedCorpus:
        return TokenizedCorpus(corpus, make_tokens(tmp_path, corpus, tokenizer))

    return Pool(
        candidates=tokenized(corpus),
        target=None if target_texts is None else tokenized(make_corpus(tmp_path, target_texts)),
        resources=Resources(Store(new_folder(tmp_path), verify="hash"), tokenizer, TRAINER, RUNTIME),
        work_dir=new_folder(tmp_path),
        evidence=Evidence(new_folder(tmp_path)),
    )


def tiny_recipe(**changes: Any) -> Recipe:
    """Return a Llama of two layers x 16 that trains in milliseconds."""
    config = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "tie_word_embeddings": True,
    }
    recipe = Recipe(
        network=FreshNetwork("llama", config),
        objective=CrossEntropy(),
        optimizer=AdamW(lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1),
        schedule=WarmupCosine(warmup_steps=2, warmup_ratio=None, min_ratio=0.1),
        context_tokens=16,
        batch_items=8,
        clip_norm=1.0,
    )
    return replace(recipe, **changes)


def wait_until(condition: Callable[[], Any]) -> None:
    """Return when the condition holds; fails after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def words(count: int, seed: int = 0) -> list[str]:
    """Return documents of a few random words each, all different."""
    rng = np.random.default_rng(seed)
    vocabulary = ["fold", "sort", "loss", "token", "order", "data", "model", "score"]
    return [f"{i} " + " ".join(rng.choice(vocabulary, rng.integers(1, 9))) for i in range(count)]
