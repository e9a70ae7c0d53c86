"""Norm of a document's gradient under a proxy model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.checks import check_integer
from delt_exp.corpus.windows import WindowBatch, Windowing
from delt_exp.model.cost import FORWARD_BACKWARD
from delt_exp.proxy.base import ProxyModel
from delt_exp.quantity import Meaning
from delt_exp.scorer.judged import JudgedScorer


@dataclass(frozen=True)
class GradnormScorer(JudgedScorer):
    """||grad of the mean token loss|| of each document, from its beginning up to `context_tokens` predictions.

    A cheap relative of GraNd (Paul et al. 2021, arXiv 2107.07075) at one state of one model. Small is better: what a
    model cannot make sense of pulls hardest on it.
    """

    VERSION: ClassVar[int] = 2
    FLOPS: ClassVar[int] = FORWARD_BACKWARD
    context_tokens: int

    def __post_init__(self) -> None:
        check_integer("scorer.context_tokens", self.context_tokens, at_least=1)

    @property
    def meaning(self) -> Meaning:
        return Meaning(
            "gradient norm", "nats", "lower", "How hard a document pulls on the parameters of the proxy model."
        )

    def windowing(self, context_tokens: int) -> Windowing:
        return Windowing("beginning", self.context_tokens)

    def judge(self, proxy: ProxyModel) -> "GradnormJudge":
        return GradnormJudge(proxy.name, proxy.revision, self.context_tokens)


@dataclass(frozen=True)
class GradnormJudge:
    """The norm of the gradient of a document's beginning; name, revision: of a causal LM."""

    dtype: ClassVar[str] = "float32"
    width: ClassVar[int] = 1
    name: str
    revision: str | None
    context_tokens: int

    @property
    def windowing(self) -> Windowing:
        return Windowing("beginning", self.context_tokens)

    def open(self, device: str) -> Callable[[WindowBatch], NDArray[np.float64]]:
        import torch

        from delt_exp.gradients.kernel import per_sample_norms
        from delt_exp.model.objective import CrossEntropy
        from delt_exp.pretrained.loading import load_causal_lm

        network = load_causal_lm(self.name, self.revision).to(device)

        def judgement(batch: WindowBatch) -> NDArray[np.float64]:
            arrays = {"input_ids": batch.ids_WT, "labels": batch.labels_WT}
            samples = {key: torch.from_numpy(array).to(device) for key, array in arrays.items()}
            return np.asarray(per_sample_norms(network, samples, CrossEntropy()).cpu().numpy())

        return judgement
