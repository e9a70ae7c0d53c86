"""What the reverse loop needs to know of a training run, and that for a language model with samples shared by ranks.

Shapes: N documents; flat vectors follow `trainable_parameters`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from delt_exp.distributed.ranks import Ranks
from delt_exp.files import digest
from delt_exp.gradients.kernel import per_sample_norms, per_sample_terms
from delt_exp.scorer.reverse.model import OBJECTIVE, SharedModel
from delt_exp.scorer.reverse.samples import Sample, by_length, micro_batches
from delt_exp.scorer.reverse.trajectory import Descent

OnDocuments = Callable[[int, int], None]
"""Called with how many of its documents a process has done, and how many it has."""


class Problem(Descent, Protocol):
    """A training run of plain gradient descent, its target loss and the documents to value."""

    num_documents: int

    def step_hvp(self, step: int, direction: Tensor) -> Tensor:
        """Hessian of that batch's loss times `direction`."""
        ...

    def target_gradient(self) -> tuple[float, Tensor]:
        """Target loss J and its gradient."""
        ...

    def document_terms(self, direction: Tensor | None, on_documents: OnDocuments) -> tuple[Tensor, Tensor]:
        """<g_n, direction> (0 without direction) and ||g_n|| of all documents, float64, shape (N,), on the CPU."""
        ...

    def fingerprint(self) -> str:
        """Identifies everything the result depends on, theta as it stands included."""
        ...


class LanguageModelProblem(SharedModel):
    """A causal language model with its samples; every process works on every `world_size`-th sample by length."""

    def __init__(
        self,
        model: nn.Module,
        train_batches: Sequence[Sequence[Sample]],
        target: Sequence[Sample],
        documents: Sequence[Sample],
        ranks: Ranks,
        gradient_samples: int,
        hvp_samples: int,
        autocast_dtype: torch.dtype | None,
    ) -> None:
        """`gradient_samples` and `hvp_samples` are the sizes of micro-batches of the two kinds of passes."""
        super().__init__(model, ranks, gradient_samples, hvp_samples, autocast_dtype)
        self.num_steps, self.num_documents = len(train_batches), len(documents)
        self._train_batches, self._target, self._documents = train_batches, target, documents
        # Equal documents are computed once: it is cheaper, and they tie to the last bit.
        self._document_digests = [document.digest() for document in documents]
        first = {digest: i for i, digest in reversed(list(enumerate(self._document_digests)))}
        self._representative_N = torch.tensor([first[digest] for digest in self._document_digests])
        distinct = sorted(first.values())
        self._share = [distinct[i] for i in by_length([documents[i] for i in distinct])][ranks.rank :: ranks.world_size]

    def step_gradient(self, step: int) -> tuple[float, Tensor]:
        return self.gradient(self._train_batches[step], len(self._train_batches[step]))

    def target_gradient(self) -> tuple[float, Tensor]:
        return self.gradient(self._target, len(self._target))

    def step_hvp(self, step: int, direction: Tensor) -> Tensor:
        return self.hvp(self._train_batches[step], len(self._train_batches[step]), direction)

    def document_terms(self, direction: Tensor | None, on_documents: OnDocuments) -> tuple[Tensor, Tensor]:
        terms_2N = torch.zeros(2, self.num_documents, dtype=torch.float64, device=self.device)
        done = 0
        for indices, batch in micro_batches(self._documents, self._share, self.gradient_samples, self.device):
            if direction is None:
                terms_2N[1, indices] = per_sample_norms(self.model, batch, OBJECTIVE, self.dtype)
            else:
                dot_B, norm_B = per_sample_terms(self.model, batch, OBJECTIVE, direction, self.dtype)
                terms_2N[:, indices] = torch.stack([dot_B, norm_B])
            done += len(indices)
            on_documents(done, len(self._share))
        dot_N, norm_N = self.ranks.sum(terms_2N).cpu()[:, self._representative_N]
        return dot_N, norm_N

    def fingerprint(self) -> str:
        digests = [[sample.digest() for sample in samples] for samples in (*self._train_batches, self._target)]
        return digest(digests, self._document_digests, self.theta.cpu().numpy(), str(self.dtype))
