"""Trains the regression model of `data_scorer=regression` on annotated documents."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import ArrayLike, NDArray

from delt_exp.config.fields import check_value
from delt_exp.corpus.tokens import Tokens
from delt_exp.data_scorer.annotated import Annotated, prepare, split
from delt_exp.data_scorer.documents import AnnotatedDocuments
from delt_exp.data_scorer.evidence import write_fit
from delt_exp.data_scorer.fitted import FittedScorer, RegressorReading, save_weights
from delt_exp.data_scorer.model import RegressionModule
from delt_exp.data_scorer.regressor import Regressor
from delt_exp.data_scorer.settings import Precision, RegressionSettings, check_body
from delt_exp.pretrained.limits import position_limit
from delt_exp.progress import Task, track
from delt_exp.proxy.base import ProxyModel
from delt_exp.rows.draws import seed_for
from delt_exp.runtime import Runtime, quiet


def fit(
    settings: RegressionSettings, proxy: ProxyModel, tokens: Tokens, rows: ArrayLike, labels: ArrayLike, folder: Path,
    runtime: Runtime, precision: str,
) -> FittedScorer:  # fmt: skip
    """Return a scorer that predicts `labels` [D] of the documents `rows` [D] of `tokens`, on one device.

    It is written to `folder`, with its validation and curve in fit.json and every document in fit.parquet. Documents
    longer than the proxy's context are read in windows. precision: `32-true` or `bf16-mixed`, also of inference.
    Raises DataError for labels that cannot be learnt, ConfigError for settings that do not fit, before any step.
    Among several processes one fits, the others load.
    """
    check_value("trainer.precision", precision, Precision)
    started = time.monotonic()
    annotated = prepare(tokens, np.asarray(rows), np.asarray(labels), settings.clip_sigma)
    ids, ratios = annotated.tokens.ids[annotated.rows], (settings.choice_ratio, settings.validation_ratio)
    parts = split(ids, annotated.labels, *ratios, settings.seed)
    data = AnnotatedDocuments(
        annotated, parts, proxy.context_tokens, settings.batch_documents, runtime.tokens_per_pass(), settings.seed
    )
    num_steps = settings.epochs * len(data.train_dataloader())
    settings.schedule.check(num_steps)
    regressor = _regressor(settings, proxy)
    module = RegressionModule(
        regressor, settings.optimizer, settings.schedule, settings.clip_norm, num_steps, settings.seed
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fit.json").unlink(missing_ok=True)  # of an earlier fit, whose weights are about to go
    _train(module, data, settings.epochs, runtime, precision, folder)
    module.restore_best()
    weights = save_weights(regressor, folder)
    tokenizer, context_tokens = tokens.meta["tokenizer"], proxy.context_tokens
    reading = RegressorReading(
        annotated.mean, annotated.std, context_tokens, precision, tokenizer, weights, regressor.layers
    )
    fitted = FittedScorer(folder, reading, regressor)
    curve = {"best_epoch": module.best_epoch, "epochs": module.curve, "steps": num_steps}
    _write_fit(annotated, parts, fitted, curve, started, runtime, folder)
    return fitted


def _regressor(settings: RegressionSettings, proxy: ProxyModel) -> Regressor:
    """Return the untrained regressor; raises ConfigError when the context is too long for its body."""
    network = (
        proxy.network
        if settings.body is None
        else settings.body.make(proxy.tokenizer, seed_for(settings.seed, "weights of the data scorer"))
    )
    check_body(position_limit(network.config), proxy.context_tokens)
    return Regressor.of_causal_lm(network)


class _Progress(pl.Callback):
    def __init__(self, task: Task, module: RegressionModule) -> None:
        self.task, self.module = task, module

    def on_train_batch_end(self, *_: Any) -> None:
        last = self.module.curve[-1]["choice_spearman"] if self.module.curve else None
        self.task.advance(1, "" if last is None else f"Spearman {last:.3f}")


def _train(
    module: RegressionModule, data: AnnotatedDocuments, epochs: int, runtime: Runtime, precision: str, folder: Path
) -> None:
    """Run the epochs; the caller's random numbers are left alone."""
    quiet()
    module.train()
    device = runtime.torch_device()
    devices = [torch.cuda.current_device()] if device == "cuda" else []
    with torch.random.fork_rng(devices), track("fitting the data scorer", module.num_steps, "steps") as task:
        trainer = pl.Trainer(
            accelerator="gpu" if device == "cuda" else "cpu", devices=devices or 1, precision=cast(Any, precision),
            max_epochs=epochs, reload_dataloaders_every_n_epochs=1, num_sanity_val_steps=0, inference_mode=False,
            logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            use_distributed_sampler=False, callbacks=[_Progress(task, module)], default_root_dir=folder,
        )  # fmt: skip
        trainer.fit(module, data)


def _write_fit(
    annotated: Annotated, parts: NDArray[np.str_], fitted: FittedScorer, curve: dict[str, Any], started: float,
    runtime: Runtime, folder: Path,
) -> None:  # fmt: skip
    """Predict every annotated document with the kept weights; write fit.parquet and, last, fit.json."""
    predicted = fitted.predict_rows(annotated.tokens, annotated.rows, runtime)
    details = {**curve, "seconds": time.monotonic() - started, "reading": asdict(fitted.reading)}
    write_fit(folder, annotated, predicted, parts, "validation", details)
