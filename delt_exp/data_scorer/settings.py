"""The settings of the regression model; imports no torch, so that they are checked at once."""

from dataclasses import dataclass

from delt_exp.config.checks import check_integer, check_number
from delt_exp.model.optimizer import Optimizer
from delt_exp.model.recipe import Network
from delt_exp.model.schedule import Schedule


@dataclass(frozen=True)
class RegressionSettings:
    """How a regression model learns the scores of annotated documents (DELT, arXiv 2506.21545).

    body: the causal LM it stands on, fresh or pretrained; null starts from the weights of the proxy model.
    batch_documents: documents of one optimizer step. choice_ratio: random share of the annotated documents that is not
    learnt from; the epoch with the highest Spearman on it is kept. validation_ratio: another share, which neither
    trains nor chooses and says what the scorer is worth. clip_sigma: targets are standardised over all annotated
    documents and clipped to this many standard deviations. clip_norm: largest gradient norm, null for no clipping.
    seed: of split, order, head and dropout; dropout is what the body's config says.
    """

    body: Network | None
    epochs: int
    batch_documents: int
    choice_ratio: float
    validation_ratio: float
    clip_sigma: float
    clip_norm: float | None
    seed: int
    optimizer: Optimizer
    schedule: Schedule

    def __post_init__(self) -> None:
        check_integer("data_scorer.epochs", self.epochs, at_least=1)
        check_integer("data_scorer.batch_documents", self.batch_documents, at_least=1)
        check_number("data_scorer.choice_ratio", self.choice_ratio, "(0, 1)")
        check_number("data_scorer.validation_ratio", self.validation_ratio, "(0, 1)")
        check_number("data_scorer.clip_sigma", self.clip_sigma, "(0, inf)")
        if self.clip_norm is not None:
            check_number("data_scorer.clip_norm", self.clip_norm, "(0, inf)")
        check_integer("data_scorer.seed", self.seed, at_least=0)
