"""How the regression model of the data scorer is trained (DELT, arXiv 2506.21545). D documents."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor

from delt_exp.data_scorer.regressor import Batch, Regressor
from delt_exp.data_scorer.validation import spearman
from delt_exp.errors import DataError, DivergedError
from delt_exp.model.optimizer import Optimizer, clip_gradients
from delt_exp.model.schedule import Schedule, scheduler
from delt_exp.rows.draws import seed_for
from delt_exp.runtime import seed_step


class Part(NamedTuple):
    """Documents of one forward pass with their labels, standardised and as annotated."""

    batch: Batch
    standardised_D: Tensor
    label_D: Tensor


class RegressionModule(pl.LightningModule):
    """Trains a regressor on the mean squared error of each batch of documents, given as a list of parts.

    `curve` holds one row of numbers an epoch; `best_state` the weights of the epoch with the highest Spearman on the
    documents that choose it, the first of equals; it stays None while no epoch has one.
    """

    def __init__(
        self, regressor: Regressor, optimizer: Optimizer, schedule: Schedule, clip_norm: float | None,
        num_steps: int, seed: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.automatic_optimization = False
        self.regressor = regressor
        self.optimizer, self.schedule, self.clip_norm = optimizer, schedule, clip_norm
        self.num_steps, self.seed = num_steps, seed
        self.curve: list[dict[str, float | int | None]] = []
        self.best_epoch: int | None = None
        self.best_state: dict[str, Tensor] | None = None
        self._train_errors: list[Tensor] = []
        self._norms: list[Tensor] = []
        self._validation: list[tuple[Tensor, Part]] = []
        self._started = time.monotonic()

    def training_step(self, parts: Sequence[Part], batch_idx: int) -> None:
        seed_step(seed_for(self.seed, "dropout of the data scorer", self.global_step), self.device)
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        num_documents = sum(len(part.standardised_D) for part in parts)
        for part in parts:
            error_D = (self.regressor.predict(part.batch) - part.standardised_D).square()
            self.manual_backward(error_D.sum() / num_documents)
            self._train_errors.append(error_D.detach())
        norm = clip_gradients(self.regressor.parameters(), self.clip_norm)
        self._norms.append(norm.detach())
        if norm.device.type == "cpu":  # elsewhere a look costs time, and waits for the end of the epoch
            self._check_finite()
        optimizer.step()
        schedule: Any = self.lr_schedulers()
        schedule.step()

    def _check_finite(self) -> None:
        """Raise DivergedError naming the first step since the last look whose gradient is not finite."""
        norms, self._norms = torch.stack(self._norms), []
        bad = torch.nonzero(~norms.isfinite())
        if len(bad):
            index = int(bad[0])
            step = self.global_step - len(norms) + index + 1
            raise DivergedError(
                f"the data scorer diverged: at step {step} of {self.num_steps} the norm of the gradient is "
                f"{float(norms[index])}; lower data_scorer.optimizer.lr ({self.optimizer.lr:g})"
            )

    def on_train_epoch_end(self) -> None:
        if self._norms:
            self._check_finite()

    def validation_step(self, parts: Sequence[Part], batch_idx: int) -> None:
        self._validation += [(self.regressor.predict(part.batch), part) for part in parts]

    def on_validation_epoch_end(self) -> None:
        predicted = torch.cat([predicted_D for predicted_D, _ in self._validation])
        standardised = torch.cat([part.standardised_D for _, part in self._validation])
        label = torch.cat([part.label_D for _, part in self._validation])
        self.curve.append({
            "epoch": len(self.curve) + 1,
            "train_loss": _number(torch.cat(self._train_errors).mean()),
            "choice_loss": _number((predicted - standardised).square().mean()),
            "choice_spearman": spearman(label.cpu(), predicted.cpu()),
            "seconds": time.monotonic() - self._started,
        })  # fmt: skip
        self._train_errors, self._validation = [], []
        self._keep_if_best()

    def _keep_if_best(self) -> None:
        newest = self.curve[-1]["choice_spearman"]
        best = None if self.best_epoch is None else self.curve[self.best_epoch - 1]["choice_spearman"]
        if newest is not None and (best is None or newest > best):
            self.best_epoch = len(self.curve)
            self.best_state = {
                name: value.detach().cpu().clone() for name, value in self.regressor.state_dict().items()
            }

    def restore_best(self) -> None:
        """Give the regressor the weights of the best epoch; raises DataError when no epoch has a Spearman."""
        if self.best_state is None:
            raise DataError(
                f"after each of {len(self.curve)} epochs the data scorer predicts the same number, or none, for all "
                f"documents that choose the epoch; use a data_scorer.optimizer.lr below {self.optimizer.lr} or more "
                "epochs"
            )
        self.regressor.load_state_dict(self.best_state)

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer.make(self.regressor)
        return {"optimizer": optimizer, "lr_scheduler": scheduler(optimizer, self.schedule, self.num_steps)}


def _number(value: Tensor) -> float | None:
    return float(value) if torch.isfinite(value) else None
