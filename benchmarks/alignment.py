"""CPU time of Task2Vec embeddings against the recipe of the published code, one thread each.

The published recipe runs the whole probe forward and backward in every step of tuning its head, and again for the
squared gradients, in training mode; it embeds both texts of every pair anew. Both sides see the same GPT-2 with random
weights and documents of random tokens that fill its context.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.fixtures import config, tokenized
from benchmarks.table import Row, alternate, median_ratio, spread
from delt_exp.alignment.base import Description, Text
from delt_exp.alignment.table import Describer, compare
from delt_exp.alignment.task2vec.fisher import FisherSettings, Passage, fisher_embedding
from delt_exp.alignment.task2vec.head import Tuning
from delt_exp.config.build import build, construct
from delt_exp.dataset.stdlib import StdlibCode
from delt_exp.resources import Resources
from delt_exp.runtime import Runtime
from delt_exp.store.store import Store

BATCH, LR, WEIGHT_DECAY = 8, 5e-5, 1e-4
TABLE = 8  # texts on each side of the table


@dataclass(frozen=True)
class Sizes:
    """A probe and a batch of documents."""

    layers: int = 4
    hidden: int = 256
    vocab: int = 8192
    length: int = 128
    documents: int = 64
    epochs: int = 5
    repeats: int = 3


QUICK = Sizes(layers=2, hidden=64, vocab=1024, length=64, documents=16, epochs=2, repeats=1)


def measure(quick: bool) -> list[Row]:
    """Return our CPU time over that of the published recipe: one embedding, and a table of texts."""
    torch.set_num_threads(1)
    sizes = QUICK if quick else Sizes()
    network, ids = make_probe(sizes), np.random.default_rng(0).integers(1, sizes.vocab, (sizes.documents, sizes.length))
    ours, theirs = alternate(
        sizes.repeats, lambda: cpu_seconds(lambda: embed(network, ids, sizes)),
        lambda: cpu_seconds(lambda: published_embedding(network, torch.from_numpy(ids), sizes)),
    )  # fmt: skip
    probe = f"GPT-2 {sizes.layers} x {sizes.hidden}, vocabulary {sizes.vocab}, {sizes.epochs} epochs"
    detail = f"{sizes.documents} documents of {sizes.length} tokens, {probe}; {spread(ours, theirs)}"
    describing, comparing = table_seconds(network, sizes)
    table = 2 * TABLE * describing + TABLE**2 * comparing
    published = 2 * TABLE**2 * float(np.median(theirs))
    scaled = f"{2 * TABLE} descriptions of {describing:.2f} s and {TABLE**2} pairs of {comparing:.3f} s, from 2 texts"
    against = "published recipe, CPU time"
    return [
        Row("one Task2Vec embedding", against, median_ratio(ours, theirs), "x", detail, below=1 / 3),
        Row(f"{TABLE} x {TABLE} alignment table", against, table / published, "x", scaled, below=1 / 15),
    ]


def cpu_seconds(work: Callable[[], Any]) -> float:
    """Return the CPU seconds that a function takes."""
    started = time.process_time()
    work()
    return time.process_time() - started


def make_probe(sizes: Sizes) -> Any:
    """Return a GPT-2 with random weights, the same for equal sizes."""
    torch.manual_seed(0)
    settings = GPT2Config(
        vocab_size=sizes.vocab, n_embd=sizes.hidden, n_layer=sizes.layers, n_head=4, n_positions=sizes.length,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(settings).eval()


def embed(network: Any, ids_NT: np.ndarray, sizes: Sizes) -> np.ndarray:
    """Return our embedding of a batch."""
    rng = np.random.default_rng(1)
    passages = [Passage(ids, rng.random(sizes.length, np.float32)) for ids in ids_NT]
    tuning = Tuning(sizes.epochs, BATCH, LR, WEIGHT_DECAY)
    return fisher_embedding(network, passages, (0, 0), FisherSettings(sizes.length, tuning, True, 16))


def published_embedding(network: Any, ids_NT: Tensor, sizes: Sizes) -> Tensor:
    """Return the embedding by the published steps, without their logging."""
    torch.manual_seed(0)
    probe = copy.deepcopy(network).train()
    optimizer = torch.optim.AdamW(probe.lm_head.parameters(), lr=LR, eps=1e-8, weight_decay=WEIGHT_DECAY)
    for _ in range(sizes.epochs):
        for ids_BT in ids_NT.split(BATCH):
            optimizer.zero_grad()
            _published_loss(_logits(probe, ids_BT), ids_BT).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    squares = {name: torch.zeros_like(p) for name, p in probe.named_parameters()}
    for ids_BT in ids_NT.split(BATCH):
        logits_BTV = _logits(probe, ids_BT)
        drawn = [torch.multinomial(p_TV, 1)[:, 0] for p_TV in logits_BTV.detach().softmax(-1)]
        probe.zero_grad()
        _published_loss(logits_BTV, torch.stack(drawn)).backward()  # type: ignore[no-untyped-call]
        for name, p in probe.named_parameters():
            squares[name] += p.grad**2
    weights = [square for name, square in squares.items() if name.endswith("weight")]
    return torch.cat([w.flatten(1).mean(1) if w.dim() > 1 else w for w in weights])


def _logits(probe: Any, ids_BT: Tensor) -> Tensor:
    logits: Tensor = probe(input_ids=ids_BT, attention_mask=torch.ones_like(ids_BT)).logits
    return logits


def _published_loss(logits_BTV: Tensor, labels_BT: Tensor) -> Tensor:
    return F.cross_entropy(logits_BTV[:, :-1].transpose(1, 2), labels_BT[:, 1:], ignore_index=0)


def table_seconds(network: Any, sizes: Sizes) -> tuple[float, float]:
    """Return CPU seconds of the description of one batch and of a comparison; with tokenising, reading and storing."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        cfg = config(
            "alignment=task2vec", "probe=pretrained", f"probe.name={folder / 'probe'}",
            f"alignment.task2vec.context_tokens={sizes.length}", "alignment.task2vec.num_batches=1",
            f"alignment.task2vec.batch_documents={sizes.documents}", f"alignment.task2vec.epochs={sizes.epochs}",
            f"tokenizer.vocab_size={sizes.vocab}",
        )  # fmt: skip
        store = Store(folder / "store", "hash")
        corpus, tokenizer = tokenized(cfg, StdlibCode("train", None), store)
        network.save_pretrained(folder / "probe")
        tokenizer.pretrained().save_pretrained(folder / "probe")
        alignment: Any = build(cfg.alignment.task2vec)
        resources = Resources(store, None, build(cfg.trainer), construct(Runtime, cfg.runtime, "runtime"))
        longest = np.argsort(-corpus.tokens.lengths, kind="stable")[: 2 * sizes.documents]
        describer, described = Describer(alignment, resources), list[Description]()
        texts = [Text(corpus.corpus, rows) for rows in np.sort(longest).reshape(2, -1)]
        describing = cpu_seconds(lambda: described.extend(map(describer.describe, texts))) / 2
        comparing = cpu_seconds(lambda: compare(alignment, described[0], described[1], store))
    return describing, comparing
