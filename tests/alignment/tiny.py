"""Small probes, texts and resources for the tests of alignment."""

from pathlib import Path
from typing import Any

import numpy as np

from delt_exp.alignment.base import Text
from delt_exp.alignment.task2vec.metric import Task2VecAlignment
from delt_exp.proxy.trained import DatasetProxy
from delt_exp.resources import Resources
from delt_exp.store.store import Store
from delt_exp.tokenizer.byte import ByteTokenizer
from tests.helpers import RUNTIME, TRAINER, ListDataset, make_byte_tokenizer, make_corpus, new_folder, tiny_recipe

ENGLISH = ["fold", "sort", "loss", "token", "order", "data", "model", "score", "train", "batch"]


def sentences(count: int, *, seed: int = 0, disguised: bool = False) -> list[str]:
    """Return documents of 12 random words each; disguised ones share no character with the others but the space."""
    rng = np.random.default_rng(seed)
    words = [word.upper() if disguised else word for word in ENGLISH]
    return [" ".join(rng.choice(words, 12)) for _ in range(count)]


def make_resources(tmp_path: Path) -> Resources:
    """Return a new store and the byte tokenizer."""
    tokenizer = make_byte_tokenizer(tmp_path, make_corpus(tmp_path, ["nothing"]))
    return Resources(Store(new_folder(tmp_path), verify="hash"), tokenizer, TRAINER, RUNTIME)


def make_text(tmp_path: Path, items: Any) -> Text:
    return Text(make_corpus(tmp_path, items))


def tiny_probe(**changes: Any) -> DatasetProxy:
    """Return a probe of two layers x 16 over bytes that trains in a second."""
    dataset = ListDataset((*sentences(40, seed=9), *sentences(40, seed=8, disguised=True)))
    settings = {
        "dataset": dataset,
        "tokenizer": ByteTokenizer(),
        "recipe": tiny_recipe(),
        "train_tokens": 2048,
        "seed": 0,
    }
    return DatasetProxy(**{**settings, **changes})


def task2vec(**changes: Any) -> Task2VecAlignment:
    """Return the metric at the smallest useful size."""
    settings = {
        "probe": tiny_probe(), "context_tokens": 32, "batch_documents": 8, "num_batches": 3, "epochs": 2,
        "tuning_documents": 4, "lr": 1e-3, "weight_decay": 1e-4, "embeddings": True, "cosine": "scaled",
        "seed": 0,
    }  # fmt: skip
    return Task2VecAlignment(**{**settings, **changes})
