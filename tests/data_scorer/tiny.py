"""A tiny proxy over byte tokens and a data scorer that learns how often a letter occurs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from delt_exp.corpus.tokens import Tokens
from delt_exp.data_scorer.fitted import FittedScorer
from delt_exp.data_scorer.regression import Regression
from delt_exp.model.optimizer import AdamW
from delt_exp.model.schedule import WarmupCosine
from delt_exp.proxy.base import ProxyModel
from delt_exp.resources import Resources
from delt_exp.store.store import Store
from delt_exp.trainer.settings import TrainerSettings
from tests.helpers import RUNTIME, TRAINER, make_pool, new_folder, tiny_recipe

SCORER = Regression(
    body=None,
    epochs=4,
    batch_documents=16,
    choice_ratio=0.1,
    validation_ratio=0.2,
    clip_sigma=3.0,
    clip_norm=1.0,
    seed=0,
    optimizer=AdamW(lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01),
    schedule=WarmupCosine(warmup_steps=5, warmup_ratio=None, min_ratio=1e-3),
)


def letters(count: int, seed: int = 0) -> list[str]:
    """Documents of 1 to 40 letters, in which `a` is anything from rare to common."""
    rng = np.random.default_rng(seed)
    shares = rng.random(count)
    return [
        "".join(np.where(rng.random(length) < share, "a", rng.choice(list("bcdef"), length)))
        for share, length in zip(shares, rng.integers(1, 41, count), strict=True)
    ]


def share_of_a(texts: Sequence[str]) -> np.ndarray:
    return np.array([text.count("a") / len(text) for text in texts])


@dataclass(frozen=True, eq=False)
class TinyProxy(ProxyModel):
    """A proxy together with the documents that it reads."""

    candidates: Tokens


def make_proxy(tmp_path: Path, texts: Sequence[str], context_tokens: int = 64, **config: Any) -> TinyProxy:
    """An untrained Llama of 2 x 16 over `texts`, or of another architecture."""
    pool = make_pool(tmp_path, texts)
    recipe = tiny_recipe(context_tokens=context_tokens)
    tokenizer, folder = pool.resources.run_tokenizer, new_folder(tmp_path)
    replace(recipe.network, **config).make(tokenizer, 0).save_pretrained(folder)
    return TinyProxy(str(folder), None, tokenizer, context_tokens, None, pool.candidates.tokens)


def predict(fitted: FittedScorer, tokens: Tokens, shards: Path, trainer: TrainerSettings = TRAINER) -> np.ndarray:
    """Scores of all documents, by as many processes as the trainer says."""
    return fitted.predict(Resources(Store(shards.parent, "size"), None, trainer, RUNTIME), tokens, shards)
