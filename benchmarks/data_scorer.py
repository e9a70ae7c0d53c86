"""Data-scorer inference in batches of similar length, against one document at a time padded to the maximum length."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.fixtures import config, tokenized
from benchmarks.table import Row, alternate, median_ratio, spread
from delt_exp.config.build import build, construct
from delt_exp.corpus.tokens import Tokens
from delt_exp.data_scorer.fitted import FittedScorer, RegressorReading, save_weights
from delt_exp.data_scorer.regressor import Regressor
from delt_exp.runtime import Runtime
from delt_exp.store.store import Store

# Corpus and maximum length: 128 as in the annotation benchmark, 1024 as in the published data scorer.
SETTINGS = (("news_agnews", 128), ("news_agnews", 1024), ("stdlib", 1024))
MODEL = ("model.network.config.hidden_size=256", "model.network.config.intermediate_size=1024")
EVERY = 8  # one at a time, every 8th document is enough for a rate
AIM = 10.0


def measure(quick: bool) -> list[Row]:
    """Return one row for each setting whose corpus is there."""
    rows = []
    for corpus, max_tokens in SETTINGS:
        cfg = config(f"train_dataset={corpus}", *MODEL)
        if "path" in cfg.train_dataset and not Path(cfg.train_dataset.path.format(split="train")).exists():
            logging.warning("data_scorer: no %s in %s; set DELT_DATA_DIR", corpus, cfg.data_dir)
        else:
            rows.append(_compare(cfg, corpus, max_tokens, *((32, 1) if quick else (512, 5))))
    return rows


def _compare(cfg: Any, corpus: str, max_tokens: int, num_documents: int, num_repeats: int) -> Row:
    runtime = construct(Runtime, cfg.runtime, "runtime")
    with TemporaryDirectory() as folder:
        candidates, tokenizer = tokenized(cfg, build(cfg.train_dataset), Store(Path(folder), "size"))
        tokens = candidates.tokens
        regressor = Regressor.of_causal_lm(build(cfg.model).make_network(tokenizer, 0)).eval()
        nn.init.normal_(regressor.head.weight, generator=torch.Generator().manual_seed(0))
        weights = save_weights(regressor, Path(folder))
        reading = RegressorReading(0.0, 1.0, max_tokens, "32-true", tokenizer.digest, weights, "last")
        fitted = FittedScorer(Path(folder), reading, regressor)
        fitting = np.flatnonzero(tokens.lengths + 2 <= max_tokens)
        rows = np.random.default_rng(0).choice(fitting, min(num_documents, len(fitting)), replace=False)
        ours, padded = alternate(
            num_repeats,
            lambda: _rate(lambda chosen: fitted.predict_rows(tokens, chosen, runtime), rows),
            lambda: _rate(lambda chosen: one_by_one(regressor, tokens, chosen, max_tokens), rows[::EVERY]),
        )
        few = rows[:EVERY]
        np.testing.assert_allclose(
            fitted.predict_rows(tokens, few, runtime), one_by_one(regressor, tokens, few, max_tokens), atol=1e-3
        )
    detail = f"Llama 4 x 256, documents of {tokens.lengths[rows].mean():.0f} tokens on average; {spread(ours, padded)}"
    against = f"one at a time, padded to {max_tokens}, {corpus}"
    return Row("data-scorer inference, documents/s", against, median_ratio(ours, padded), "x", detail, at_least=AIM)


def one_by_one(regressor: Regressor, tokens: Tokens, rows: NDArray[np.intp], max_tokens: int) -> NDArray[np.float32]:
    """Return the predictions as the published code reads documents: padded, with a mask, in batches of one."""
    ids_1T, scores = torch.empty(1, max_tokens, dtype=torch.int64), []
    with torch.inference_mode():
        for row in rows:
            document = torch.from_numpy(tokens.document(row).astype(np.int64))
            mask_1T = (torch.arange(max_tokens) < len(document) + 2)[None]
            ids_1T.fill_(tokens.eos_id)[0, 1 : 1 + len(document)] = document
            hidden_1TC = regressor.body(input_ids=ids_1T, attention_mask=mask_1T.long(), use_cache=False)[0]
            mean_1C = (hidden_1TC * mask_1T[..., None]).sum(1) / mask_1T.sum()
            scores.append(regressor.head(mean_1C).item())
    return np.array(scores, np.float32)


def _rate(predict: Callable[[NDArray[np.intp]], NDArray[np.float32]], rows: NDArray[np.intp]) -> float:
    started = time.perf_counter()
    predict(rows)
    return len(rows) / (time.perf_counter() - started)
