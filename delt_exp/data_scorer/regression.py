"""A language model trained to predict scores; imports no torch, so that settings are checked at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from numpy.typing import ArrayLike

from delt_exp.config.checks import check_integer, check_number
from delt_exp.corpus.tokens import Tokens
from delt_exp.cost import ModelSize, PhaseCost, forward_cost, training_cost
from delt_exp.model.optimizer import Optimizer
from delt_exp.model.recipe import Network
from delt_exp.model.schedule import Schedule
from delt_exp.proxy.base import ProxyModel
from delt_exp.runtime import Runtime

if TYPE_CHECKING:
    from delt_exp.data_scorer.fitted import FittedScorer


@dataclass(frozen=True)
class Regression:
    """How a regression model learns the scores of annotated documents (DELT, arXiv 2506.21545).

    body: the causal LM it stands on, fresh or pretrained; null starts from the weights of the proxy model.
    batch_documents: documents of one optimizer step. choice_ratio: random share of the annotated documents that is not
    learnt from; the epoch with the highest Spearman on it is kept. validation_ratio: another share, which neither
    trains nor chooses and says what the scorer is worth. clip_sigma: targets are standardised over all annotated
    documents and clipped to this many standard deviations. clip_norm: largest gradient norm, null for no clipping.
    seed: of split, order, head and dropout; dropout is what the body's config says.
    """

    VERSION: ClassVar[int] = 3
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

    def check(self, proxy: ProxyModel) -> None:
        """Raise ConfigError when the body cannot read what the proxy's tokenizer gives."""
        if self.body is not None:
            self.body.check(proxy.tokenizer)

    def fit(
        self, proxy: ProxyModel, rows: ArrayLike, labels: ArrayLike, folder: Path, runtime: Runtime, precision: str
    ) -> "FittedScorer":
        """Return a scorer that predicts `labels` [D] of the documents `rows` [D] of `proxy.candidates`: see `fit`."""
        from delt_exp.data_scorer.fit import fit

        return fit(self, proxy, rows, labels, folder, runtime, precision)

    def load(self, folder: Path) -> "FittedScorer":
        """Return what `fit` wrote to `folder`."""
        from delt_exp.data_scorer.fitted import FittedScorer

        return FittedScorer.load(folder)

    def forecast(self, size: ModelSize, corpus: Tokens, num_annotated: int, batch_tokens: int) -> list[PhaseCost]:
        """Return what fitting on `num_annotated` average documents and reading the whole corpus cost.

        size: of the proxy, which also stands for a body of another size.
        """
        mean_tokens = int(corpus.lengths.sum()) / len(corpus)
        epoch_tokens = int(num_annotated * mean_tokens)
        held = min(batch_tokens, int(self.batch_documents * mean_tokens))
        return [
            training_cost("data scorer", size, self.epochs * epoch_tokens, max(1, int(mean_tokens)), held),
            forward_cost("inference", size, len(corpus), int(corpus.lengths.sum()), batch_tokens),
        ]
