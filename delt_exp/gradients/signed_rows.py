"""Samples of several rows, each with a weight that may be negative."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from delt_exp.errors import ConfigError
from delt_exp.model.batch import Batch
from delt_exp.model.objective import Objective

ROW_WEIGHTS = "row_weights"


@dataclass(frozen=True)
class SignedRows:
    """sum_r w_r l_r over the `rows_per_sample` consecutive rows of a sample, l_r the summed loss of row r.

    The weights w_r are `batch["row_weights"]`, (R,): 1 and -1 for the loss of a chosen answer less that of the rejected
    one, the inverse number of a document's tokens for its windows, 0 for a row that only fills up.
    """

    VERSION: ClassVar[int] = 1
    objective: Objective
    rows_per_sample: int

    def losses(self, network: nn.Module, batch: Batch) -> Tensor:
        weights_R = batch[ROW_WEIGHTS]
        if len(weights_R) % self.rows_per_sample:
            raise ConfigError(f"{len(weights_R)} rows are not samples of {self.rows_per_sample} rows each")
        rows = {key: value for key, value in batch.items() if key != ROW_WEIGHTS}
        losses_R = self.objective.losses(network, rows) * weights_R
        return losses_R.view(-1, self.rows_per_sample).sum(1)

    def counts(self, batch: Batch) -> Tensor:
        """Ones: the weights say it all."""
        return torch.ones_like(batch[ROW_WEIGHTS])[:: self.rows_per_sample]
