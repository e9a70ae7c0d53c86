"""What the benchmarks measure on: real text, and the components that the default configuration describes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import ClassVar

import numpy as np
from omegaconf import DictConfig

from delt_exp.config.build import CONF, build, construct
from delt_exp.config.compose import composed
from delt_exp.corpus.stages import corpus_stage, tokenizer_stage, tokens_stage
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.corpus.writing import CorpusSettings
from delt_exp.dataset.base import Dataset, Document
from delt_exp.dataset.mixture import size_bytes
from delt_exp.dataset.stdlib import SPLITS, StdlibCode, StdlibProse
from delt_exp.steps.components import training_settings
from delt_exp.store.store import Store
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.trainer.job import TrainJob, plan_for


@dataclass(frozen=True)
class NumberedStdlib:
    """Prose and code of the standard library, repeated up to `total_bytes`; a number makes each document a new one."""

    VERSION: ClassVar[int] = 1
    total_bytes: int

    def documents(self) -> Iterator[Document]:
        """Yield the documents, in the same order every time."""
        originals = [d for cls in (StdlibProse, StdlibCode) for split in SPLITS for d in cls(split, None).documents()]
        total_bytes = 0
        for number in count():
            document = Document(f"{number}\n{originals[number % len(originals)].text}")
            total_bytes += size_bytes(document)
            if total_bytes > self.total_bytes:
                return
            yield document

    def fingerprint(self) -> str:
        """Return the fingerprint of the standard library."""
        return StdlibProse("train", None).fingerprint()


def config(*overrides: str) -> DictConfig:
    """Return the configuration of `python run.py` with these overrides."""
    return composed(CONF, overrides)


def tokenized(cfg: DictConfig, dataset: Dataset, store: Store) -> tuple[TokenizedCorpus, Tokenizer]:
    """Return a dataset read and encoded as a run would do it."""
    corpus = corpus_stage(store, dataset, construct(CorpusSettings, cfg.corpus, "corpus"))
    tokenizer = tokenizer_stage(store, build(cfg.tokenizer), corpus)
    return tokens_stage(store, corpus, tokenizer), tokenizer


def train_job(cfg: DictConfig, folder: Path, num_steps: int) -> TrainJob:
    """Return the training of a shuffled `train_dataset` on as many tokens as `num_steps` full batches have."""
    candidates, tokenizer = tokenized(cfg, build(cfg.train_dataset), Store(folder, "size"))
    recipe, order = build(cfg.model), np.random.default_rng(0).permutation(len(candidates))
    max_tokens = num_steps * recipe.batch_items * recipe.context_tokens
    settings = replace(training_settings(cfg.training)[0], epochs=None, max_tokens=max_tokens)
    return TrainJob(
        recipe, plan_for(recipe, candidates.tokens, order, settings), tokenizer, build(cfg.trainer), cfg.seed
    )
