"""What the reverse loop needs to know of a training run, and that for a language model with samples shared by ranks.

Shapes: N documents; flat vectors follow `trainable_parameters`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from delt_exp.distributed.ranks import Ranks
from delt_exp.files import digest
from delt_exp.gradients.flat import flatten, trainable_parameters, unflatten
from delt_exp.gradients.kernel import per_sample_norms, per_sample_terms
from delt_exp.gradients.products import add_gradient, add_hvp
from delt_exp.model.objective import CrossEntropy
from delt_exp.scorer.lqs.samples import Sample, by_length, micro_batches

_OBJECTIVE = CrossEntropy()  # what PDS and DELT define their scores by

OnDocuments = Callable[[int, int], None]
"""Called with how many of its documents a process has done, and how many it has."""


class Problem(Protocol):
    """A training run of plain gradient descent, its target loss and documents to value; theta is where it stands."""

    num_steps: int
    num_documents: int
    theta: Tensor

    def step_gradient(self, step: int) -> tuple[float, Tensor]:
        """Loss and gradient of the batch of update `step` (theta_step -> theta_step+1)."""
        ...

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


class LanguageModelProblem:
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
        self.num_steps, self.num_documents = len(train_batches), len(documents)
        self._model, self._ranks, self._dtype = model, ranks, autocast_dtype
        self._train_batches, self._target, self._documents = train_batches, target, documents
        self._gradient_samples, self._hvp_samples = gradient_samples, hvp_samples
        self._parameters = list(trainable_parameters(model).values())
        self._device = self._parameters[0].device
        # Equal documents are computed once: it is cheaper, and they tie to the last bit.
        self._document_digests = [document.digest() for document in documents]
        first = {digest: i for i, digest in reversed(list(enumerate(self._document_digests)))}
        self._representative_N = torch.tensor([first[digest] for digest in self._document_digests])
        distinct = sorted(first.values())
        self._share = [distinct[i] for i in by_length([documents[i] for i in distinct])][ranks.rank :: ranks.world_size]

    @property
    def theta(self) -> Tensor:
        """A copy of the parameters; assigning writes them into the model."""
        return flatten(self._parameters)

    @theta.setter
    def theta(self, value: Tensor) -> None:
        with torch.no_grad():
            for parameter, piece in zip(self._parameters, unflatten(value, self._parameters), strict=True):
                parameter.copy_(piece)

    def step_gradient(self, step: int) -> tuple[float, Tensor]:
        return self._gradient(self._train_batches[step])

    def target_gradient(self) -> tuple[float, Tensor]:
        return self._gradient(self._target)

    def _gradient(self, samples: Sequence[Sample]) -> tuple[float, Tensor]:
        total = torch.zeros_like(self.theta)
        loss = 0.0
        for _, batch in micro_batches(samples, self._shared(samples), self._gradient_samples, self._device):
            loss += add_gradient(self._model, batch, _OBJECTIVE, len(samples), total, self._dtype)
        loss_sum = self._ranks.sum(torch.tensor(loss, dtype=torch.float64, device=self._device))
        return loss_sum.item(), self._ranks.sum(total)

    def step_hvp(self, step: int, direction: Tensor) -> Tensor:
        samples, total = self._train_batches[step], torch.zeros_like(direction)
        for _, batch in micro_batches(samples, self._shared(samples), self._hvp_samples, self._device):
            add_hvp(self._model, batch, _OBJECTIVE, direction, len(samples), total, self._dtype)
        return self._ranks.sum(total)

    def document_terms(self, direction: Tensor | None, on_documents: OnDocuments) -> tuple[Tensor, Tensor]:
        terms_2N = torch.zeros(2, self.num_documents, dtype=torch.float64, device=self._device)
        done = 0
        for indices, batch in micro_batches(self._documents, self._share, self._gradient_samples, self._device):
            if direction is None:
                terms_2N[1, indices] = per_sample_norms(self._model, batch, _OBJECTIVE, self._dtype)
            else:
                dot_B, norm_B = per_sample_terms(self._model, batch, _OBJECTIVE, direction, self._dtype)
                terms_2N[:, indices] = torch.stack([dot_B, norm_B])
            done += len(indices)
            on_documents(done, len(self._share))
        dot_N, norm_N = self._ranks.sum(terms_2N).cpu()[:, self._representative_N]
        return dot_N, norm_N

    def fingerprint(self) -> str:
        digests = [[sample.digest() for sample in samples] for samples in (*self._train_batches, self._target)]
        return digest(digests, self._document_digests, self.theta.cpu().numpy(), str(self._dtype))

    def _shared(self, samples: Sequence[Sample]) -> list[int]:
        return by_length(samples)[self._ranks.rank :: self._ranks.world_size]
