"""A pretrained causal LM as proxy, with its own tokenizer."""

from dataclasses import dataclass
from typing import ClassVar

from delt_exp.cost import ModelSize, PhaseCost, model_size
from delt_exp.errors import ConfigError
from delt_exp.model.pretrained import load_pretrained, position_limit, pretrained_fingerprint
from delt_exp.proxy.base import ProxyModel
from delt_exp.runtime import Runtime
from delt_exp.scorer.base import Pool
from delt_exp.tokenizer.hf import HfTokenizer


@dataclass(frozen=True)
class PretrainedProxy:
    """`name` is a Hub name or a folder; documents are read in windows of `context_tokens`."""

    VERSION: ClassVar[int] = 1
    READS_TARGET: ClassVar[bool] = False
    name: str
    revision: str | None
    context_tokens: int

    def fingerprint(self) -> str:
        """Return what identifies the files behind `name`."""
        return pretrained_fingerprint(self.name, self.revision)

    def prepare(self, pool: Pool, runtime: Runtime) -> ProxyModel:
        import torch
        from transformers import AutoModelForCausalLM

        from delt_exp.stages import tokenizer_stage, tokens_stage

        network = load_pretrained(AutoModelForCausalLM, self.name, self.revision, dtype=torch.float32).eval()
        tokenizer = tokenizer_stage(
            pool.store, HfTokenizer(self.name, self.revision, begin="auto", chat_template="own"), pool.candidates.corpus
        )
        candidates = tokens_stage(pool.store, pool.candidates.corpus, tokenizer).tokens
        target = None if pool.target is None else tokens_stage(pool.store, pool.target.corpus, tokenizer).tokens
        limit = position_limit(network.config)
        if limit is not None and self.context_tokens > limit:
            raise ConfigError(
                f"proxy.context_tokens is {self.context_tokens}, but {self.name!r} has {limit} positions; "
                f"use proxy.context_tokens={limit}"
            )
        return ProxyModel(network, tokenizer, candidates, target, self.context_tokens)

    def size(self, pool: Pool, sample_tokens: int) -> ModelSize:
        """Return the size of the model behind `name`."""
        from transformers import AutoConfig

        return model_size(load_pretrained(AutoConfig, self.name, self.revision), sample_tokens)

    def forecast(self, pool: Pool) -> list[PhaseCost]:
        """Return nothing: it was trained elsewhere."""
        return []
