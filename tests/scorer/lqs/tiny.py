"""A small language model run and the scalar run of known values, for the annotator's tests."""

from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from delt_exp.scorer.lqs.problem import OnDocuments
from delt_exp.scorer.lqs.settings import AnnotationSettings
from delt_exp.scorer.reverse.samples import Sample, next_token_sample

VOCAB = 17


def tiny_settings(**changes: Any) -> AnnotationSettings:
    values: dict[str, Any] = {"lr": 0.05, "interval": 2, "init_norm": "terminal"}
    values |= {"gradient_samples": 4, "hvp_samples": 2, "precision": "fp32"}
    return AnnotationSettings(**values | changes)


def tiny_gpt2() -> Any:
    """Double precision throughout, which the norms of Llama are not."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 16, "bos_token_id": 0, "eos_token_id": 0}
        config = GPT2Config(vocab_size=VOCAB, initializer_range=0.3, **sizes)
        return GPT2LMHeadModel(config).double().eval()


def tiny_model(dtype: torch.dtype = torch.float32) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=VOCAB,
            hidden_size=8,
            intermediate_size=12,
            num_hidden_layers=1,
            num_attention_heads=2,
            bos_token_id=0,
            eos_token_id=0,
            initializer_range=0.3,
        )
        return LlamaForCausalLM(config).to(dtype)


def draw_samples(count: int, seed: int) -> list[Sample]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, 9, (count,), generator=generator)
    return [next_token_sample(torch.randint(VOCAB, (int(n),), generator=generator).tolist()) for n in lengths]


def tiny_run(num_steps: int = 7, num_documents: int = 9) -> dict[str, Any]:
    """Arguments of `annotate` after the model: uneven batches, lengths and numbers."""
    return {
        "train_batches": [draw_samples(5, seed=100 + step) for step in range(num_steps)],
        "target": draw_samples(6, seed=1),
        "documents": draw_samples(num_documents, seed=2),
    }


class ScalarProblem:
    """Batch loss (theta - 1)^2 / 2, target loss (theta - 2)^2 / 2, documents (theta - a)^2 / 2, theta_0 = 0."""

    def __init__(self, num_steps: int, documents_a: list[float]) -> None:
        self.num_steps, self.num_documents = num_steps, len(documents_a)
        self._theta = torch.zeros(1, dtype=torch.float64)
        self._a_N = torch.tensor(documents_a, dtype=torch.float64)

    @property
    def theta(self) -> Tensor:
        return self._theta.clone()

    @theta.setter
    def theta(self, value: Tensor) -> None:
        self._theta.copy_(value)

    def step_gradient(self, step: int) -> tuple[float, Tensor]:
        return (self.theta - 1).square().item() / 2, self.theta - 1

    def step_hvp(self, step: int, direction: Tensor) -> Tensor:
        return direction.clone()

    def target_gradient(self) -> tuple[float, Tensor]:
        return (self.theta - 2).square().item() / 2, self.theta - 2

    def document_terms(self, direction: Tensor | None, on_documents: OnDocuments) -> tuple[Tensor, Tensor]:
        gradient_N = self.theta - self._a_N
        return gradient_N * (0 if direction is None else direction), gradient_N.abs()

    def fingerprint(self) -> str:
        return "scalar"
