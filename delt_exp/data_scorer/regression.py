"""A language model trained to predict scores; imports no torch, so that settings are checked at once."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from numpy.typing import ArrayLike

from delt_exp.config.fields import settings
from delt_exp.corpus.tokens import Tokens
from delt_exp.data_scorer.annotated import check_count, check_parts
from delt_exp.data_scorer.settings import RegressionSettings, check_body
from delt_exp.model.cost import ModelSize, PhaseCost, Sizes, forward_cost, training_cost
from delt_exp.proxy.base import ProxyModel
from delt_exp.runtime import Runtime

if TYPE_CHECKING:
    from delt_exp.data_scorer.fitted import FittedScorer


@settings
class Regression(RegressionSettings):
    """Learns the scores of annotated documents with a language model (DELT, arXiv 2506.21545)."""

    VERSION: ClassVar[int] = 3

    def check(self, proxy: ProxyModel, num_annotated: int) -> None:
        """Raise ConfigError for too few documents to learn from and to judge, and for a body that cannot read them."""

        check_count(num_annotated)
        check_parts(num_annotated, self.choice_ratio, self.validation_ratio)
        if self.body is not None:
            self.body.check(proxy.tokenizer)
            check_body(self.body.position_limit(proxy.tokenizer), proxy.context_tokens)

    def fit(
        self,
        proxy: ProxyModel,
        tokens: Tokens,
        rows: ArrayLike,
        labels: ArrayLike,
        folder: Path,
        runtime: Runtime,
        precision: str,
    ) -> "FittedScorer":
        """Return a scorer that predicts `labels` [D] of the documents `rows` [D] of `tokens`: see `fit`."""
        from delt_exp.data_scorer.fit import fit

        return fit(self, proxy, tokens, rows, labels, folder, runtime, precision)

    def load(self, folder: Path) -> "FittedScorer":
        """Return what `fit` wrote to `folder`."""
        from delt_exp.data_scorer.fitted import FittedScorer

        return FittedScorer.load(folder)

    def forecast(self, size: ModelSize, sizes: Sizes, num_annotated: int, batch_tokens: int) -> list[PhaseCost]:
        """Return what fitting on `num_annotated` average documents and reading the whole corpus cost.

        size: of the proxy, which also stands for a body of another size.
        """
        mean_tokens = sizes.num_tokens / len(sizes.lengths_N)
        epoch_tokens = int(num_annotated * mean_tokens)
        held = min(batch_tokens, int(self.batch_documents * mean_tokens))
        return [
            training_cost("data scorer", size, self.epochs * epoch_tokens, max(1, int(mean_tokens)), held),
            forward_cost("inference", size, len(sizes.lengths_N), sizes.num_tokens, batch_tokens),
        ]
