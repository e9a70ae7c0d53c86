"""Weights that are known before training: from the scores of the run itself, or from a table."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import PositiveFloat, settings
from delt_exp.corpus.tokens import Tokens
from delt_exp.distributed.ranks import Ranks
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import file_sha256
from delt_exp.model.batch import Batch
from delt_exp.model.cost import ModelSize, PhaseCost, Sizes
from delt_exp.trainer.job import Setup, TrainJob, Update
from delt_exp.trainer.plan import Plan
from delt_exp.trainer.weights import FixedWeights
from delt_exp.weighter.setup import check_batch
from delt_exp.weighter.table import read_weights

if TYPE_CHECKING:
    from torch import Tensor


@settings
class StaticWeighter:
    """w_i = B softmax_i(z / temperature) over the B sequences of a global batch: better documents count more.

    z is the goodness of the sequence's document (the score, negated where lower is better), standardised over the
    documents that are trained. temperature: in standard deviations; the larger, the more equal. table: a Parquet file
    with the weight of every document instead (see `read_weights`), divided by the mean of the batch; scores and
    temperature then decide nothing. A weight acts on every predicted token of the document, whichever sequence it
    stands in. That needs training.layout=padded: a packed sequence holds pieces of several documents and has only one
    weight.
    """

    VERSION: ClassVar[int] = 1
    PLACES: ClassVar[frozenset[str]] = frozenset({"table"})
    reads_target: ClassVar[bool] = False
    temperature: PositiveFloat
    table: str | None

    @property
    def reads_scores(self) -> bool:
        return self.table is None

    def fingerprint(self) -> str | None:
        """Return the hash of the table, None without one; raises DataError where it is missing."""
        if self.table is None:
            return None
        if not Path(self.table).is_file():
            raise DataError(
                f"weighter.table is {self.table}, which is not a file; give a Parquet file, or null for scores"
            )
        return file_sha256(Path(self.table))

    def check(self, setup: Setup, candidates: Tokens, num_steps: int) -> None:
        if setup.training.layout != "padded":
            raise ConfigError(
                f"training.layout is {setup.training.layout}: a sequence holds several documents, but has one weight; "
                "use training.layout=padded with weighter=static"
            )
        if self.fingerprint() is not None:
            read_weights(Path(str(self.table)), candidates.ids)
        check_batch("static", setup)

    def open(self, network: Any, job: TrainJob, ranks: Ranks) -> "ItemWeights":
        plan = job.plan
        rows_I = plan.order[plan.document_of(np.arange(plan.num_items))]
        if self.table is not None:
            weights_I = batch_shares(read_weights(Path(self.table), plan.tokens.ids)[rows_I], plan)
            return ItemWeights(weights_I, plan.batch_items)
        assert job.goodness is not None
        goodness = job.goodness.astype(np.float64)
        trained = goodness[plan.trained_rows]
        z_I = (goodness[rows_I] - trained.mean()) / (trained.std() or 1.0)  # equal scores weigh alike
        return ItemWeights(batch_softmax(z_I / self.temperature, plan.batch_items), plan.batch_items)

    def forecast(self, setup: Setup, sizes: Sizes, size: ModelSize, num_tokens: int) -> list[PhaseCost]:
        return []


def batch_softmax(logits_I: NDArray[np.float64], batch_items: int) -> NDArray[np.float64]:
    """Return B times the softmax over the B items of each global batch, the last of which may be smaller."""
    starts = np.arange(0, len(logits_I), batch_items)
    sizes = np.diff(starts, append=len(logits_I))
    weights_I = np.exp(logits_I - np.repeat(np.maximum.reduceat(logits_I, starts), sizes))
    return weights_I / np.repeat(np.add.reduceat(weights_I, starts) / sizes, sizes)


def batch_shares(weights_I: NDArray[np.float64], plan: Plan) -> NDArray[np.float64]:
    """Return the weights divided by the mean of their batch; raises DataError for a batch in which all are 0."""
    starts = np.arange(0, plan.num_items, plan.batch_items)
    sizes = np.diff(starts, append=plan.num_items)
    means = np.add.reduceat(weights_I, starts) / sizes
    if not means.all():
        raise DataError(
            f"weighter.table: all {sizes[means.argmin()]} sequences of step {means.argmin() + 1} have the weight 0, so "
            "nothing could be learnt from it; select other documents, raise model.batch_items or use small weights"
        )
    return weights_I / np.repeat(means, sizes)


class ItemWeights(FixedWeights):
    """One weight for each item of the plan; the metrics say how many sequences of a step count in effect."""

    def __init__(self, weights_I: NDArray[np.float64], batch_items: int) -> None:
        import torch

        self.weights_I, self.batch_items, self.step = torch.from_numpy(weights_I), batch_items, 0

    def __call__(self, batch: Batch, losses_B: "Tensor") -> "Tensor":
        self.weights_I = self.weights_I.to(losses_B.device)
        return self.weights_I[batch["index"]]

    def after_step(self, update: Update) -> None:
        self.step = update.step

    def metrics(self) -> Mapping[str, float]:
        from delt_exp.weighter.batch_weights import effective_samples

        weights_B = self.weights_I[self.step * self.batch_items :][: self.batch_items]
        return {"train/effective_samples": effective_samples(weights_B)}

    def planned(self) -> NDArray[np.float64]:
        return self.weights_I.cpu().numpy()
