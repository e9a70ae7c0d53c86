"""Norm of a document's gradient under a proxy model."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from delt_exp.config.fields import Count, settings
from delt_exp.corpus.windows import Reads, Windowing
from delt_exp.model.batch import Batch
from delt_exp.model.causal_judge import CausalJudge
from delt_exp.model.cost import FORWARD_BACKWARD
from delt_exp.model.objective import CrossEntropy
from delt_exp.proxy.base import ProxyModel
from delt_exp.quantity import Meaning
from delt_exp.scorer.judged import JudgedScorer

if TYPE_CHECKING:
    from torch import Tensor


@settings
class GradnormScorer(JudgedScorer):
    """||grad of the mean token loss|| of each document, from its beginning up to `context_tokens` predictions.

    A cheap relative of GraNd (Paul et al. 2021, arXiv 2107.07075) at one state of one model. Small is better: what a
    model cannot make sense of pulls hardest on it.
    """

    VERSION: ClassVar[int] = 2
    FLOPS: ClassVar[int] = FORWARD_BACKWARD
    context_tokens: Count

    @property
    def meaning(self) -> Meaning:
        return Meaning(
            "gradient norm", "nats", "lower", "How hard a document pulls on the parameters of the proxy model."
        )

    def windowing(self, context_tokens: int) -> Windowing:
        return Windowing(GradnormJudge.READS, self.context_tokens)

    def judge(self, proxy: ProxyModel) -> "GradnormJudge":
        return GradnormJudge(proxy.name, proxy.revision, self.context_tokens)


@dataclass(frozen=True)
class GradnormJudge(CausalJudge):
    """The norm of the gradient of a document's beginning."""

    READS: ClassVar[Reads] = "beginning"
    dtype: ClassVar[str] = "float32"

    def numbers(self, network: Any, batch: Batch) -> "Tensor":
        from delt_exp.gradients.kernel import per_sample_norms

        return per_sample_norms(network, batch, CrossEntropy())
