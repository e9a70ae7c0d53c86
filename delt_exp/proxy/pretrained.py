"""A pretrained causal LM as proxy, with its own tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from delt_exp.corpus.tokens import Tokens
from delt_exp.cost import ModelSize, PhaseCost, model_size
from delt_exp.errors import ConfigError, DataError
from delt_exp.pretrained.loading import (
    check_ids,
    check_model,
    load_causal_lm,
    load_pretrained,
    position_limit,
    pretrained_fingerprint,
)
from delt_exp.proxy.base import ProxyModel
from delt_exp.runtime import Runtime
from delt_exp.scorer.base import Pool
from delt_exp.tokenizer.hf import HfTokenizer


@dataclass(frozen=True)
class PretrainedProxy:
    """`name` is a Hub name or a folder; documents are read in windows of `context_tokens`.

    eos_token: what ends a document where the tokenizer names none; null is what it names.
    """

    VERSION: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()
    name: str
    revision: str | None
    context_tokens: int
    eos_token: str | None

    def fingerprint(self) -> str:
        """Return what identifies the files behind `name`."""
        return pretrained_fingerprint(self.name, self.revision)

    def prepare(self, pool: Pool, runtime: Runtime) -> ProxyModel:
        from delt_exp.corpus.stages import tokenizer_stage, tokens_stage

        network = load_causal_lm(self.name, self.revision)
        self._check_context(position_limit(network.config))
        maker = HfTokenizer(self.name, self.revision, self.eos_token, begin="auto", chat_template="own")
        tokenizer = tokenizer_stage(pool.store, maker, pool.candidates.corpus)
        check_ids(tokenizer.pretrained(), network.get_input_embeddings().weight.shape[0], self.name)
        candidates = tokens_stage(pool.store, pool.candidates.corpus, tokenizer).tokens
        _refuse_without_tokens(candidates, self.name)
        target = None if pool.target is None else tokens_stage(pool.store, pool.target.corpus, tokenizer).tokens
        return ProxyModel(network, tokenizer, candidates, target, self.context_tokens)

    def check_weights(self, *, fetch: bool) -> Sequence[str]:
        """Return notes on the weights; raises DeltError for unsound ones, and for a context or ids beyond the model."""
        found = check_model(self.name, self.revision, fetch=fetch)
        if found is None:
            return []
        self._check_context(found.position_limit)
        return found.notes

    def _check_context(self, limit: int | None) -> None:
        if limit is not None and self.context_tokens > limit:
            raise ConfigError(
                f"proxy.context_tokens is {self.context_tokens}, but {self.name!r} has {limit} positions; "
                f"use proxy.context_tokens={limit}"
            )

    def size(self, pool: Pool, sample_tokens: int) -> ModelSize:
        """Return the size of the model behind `name`."""
        from transformers import AutoConfig

        return model_size(load_pretrained(AutoConfig, self.name, self.revision), sample_tokens)

    def forecast(self, pool: Pool) -> list[PhaseCost]:
        """Return nothing: it was trained elsewhere."""
        return []


def _refuse_without_tokens(candidates: Tokens, name: str) -> None:
    empty = np.flatnonzero(candidates.num_predicted == 0)
    if len(empty):
        raise DataError(
            f"{len(empty)} of {len(candidates)} documents have no token under the tokenizer of proxy {name!r}, the "
            f"first in row {empty[0]} of the corpus; use it for training too (tokenizer=hf tokenizer.name={name}): "
            "documents without a token are then left out"
        )
