"""The settings of the regression model; imports no torch, so that they are checked at once."""

from typing import Literal

from delt_exp.config.fields import Count, PositiveFloat, ProperShare, Seed, settings
from delt_exp.errors import ConfigError
from delt_exp.model.optimizer import Optimizer
from delt_exp.model.recipe import Network
from delt_exp.model.schedule import Schedule

Precision = Literal["32-true", "bf16-mixed"]  # of one device


@settings
class RegressionSettings:
    """How a regression model learns the scores of annotated documents (DELT, arXiv 2506.21545).

    body: the causal LM it stands on, fresh or pretrained; null starts from the weights of the proxy model.
    batch_documents: documents of one optimizer step. choice_ratio: random share of the annotated documents that is not
    learnt from; the epoch with the highest Spearman on it is kept. validation_ratio: another share, which neither
    trains nor chooses and says what the scorer is worth. clip_sigma: labels are standardised over all annotated
    documents and clipped to this many standard deviations. clip_norm: largest gradient norm, null for no clipping.
    seed: of split, order, head and dropout; dropout is what the body's config says.
    """

    body: Network | None
    epochs: Count
    batch_documents: Count
    choice_ratio: ProperShare
    validation_ratio: ProperShare
    clip_sigma: PositiveFloat
    clip_norm: PositiveFloat | None
    seed: Seed
    optimizer: Optimizer
    schedule: Schedule


def check_body(position_limit: int | None, context_tokens: int) -> None:
    """Raise ConfigError for a body that takes fewer positions than the windows of documents have tokens."""
    if position_limit is not None and context_tokens > position_limit:
        raise ConfigError(
            f"data_scorer.body has {position_limit} positions, but documents are read in windows of {context_tokens} "
            "tokens; choose a body with more positions or a proxy with a shorter context"
        )
