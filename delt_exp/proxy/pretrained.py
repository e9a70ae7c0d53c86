"""A pretrained causal LM with its own tokenizer: GPT-2 as the probe of the papers, for example."""

from collections.abc import Sequence
from typing import Any, ClassVar

from delt_exp.config.fields import Count, settings
from delt_exp.corpus.stages import tokenizer_stage
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.errors import ConfigError
from delt_exp.model.cost import ModelSize, PhaseCost, Sizes, model_size
from delt_exp.pretrained.limits import position_limit
from delt_exp.pretrained.loading import check_model, load_config, pretrained_fingerprint
from delt_exp.proxy.base import ProxyModel
from delt_exp.resources import Resources
from delt_exp.tokenizer.hf import HfTokenizer

UNLIMITED = 2**31 - 1


@settings
class PretrainedProxy:
    """`name` is a Hub name or a folder, `revision` a branch, tag or commit.

    context_tokens: positions of a window; null: all that the model has, whole documents where it has no limit.
    eos_token: what ends a document where the tokenizer names none; null is what it names.
    """

    VERSION: ClassVar[int] = 1
    PLACES: ClassVar[frozenset[str]] = frozenset({"name"})
    needs: ClassVar[frozenset[str]] = frozenset()
    name: str
    revision: str | None
    context_tokens: Count | None
    eos_token: str | None

    def fingerprint(self) -> str:
        """Return what identifies the files that `name` stands for."""
        return pretrained_fingerprint(self.name, self.revision)

    def inputs(self, resources: Resources) -> dict[str, Any]:
        return {}

    def prepare(
        self, resources: Resources, candidates: TokenizedCorpus | None = None, target: TokenizedCorpus | None = None
    ) -> ProxyModel:
        maker = HfTokenizer(self.name, self.revision, self.eos_token, begin="auto", chat_template="own")
        tokenizer = tokenizer_stage(resources.store, maker, None)
        limit = position_limit(load_config(self.name, self.revision))
        self._check_context(limit)
        check_model(self.name, self.revision, fetch=True)  # a run has done so before: it costs nothing now
        model = ProxyModel(self.name, self.revision, tokenizer, self.context_tokens or limit or UNLIMITED, limit)
        for text in (candidates, target):
            if text is not None:
                model.tokens(text, resources)  # a text that it cannot read is refused before anything is scored
        return model

    def check_weights(self, *, fetch: bool) -> Sequence[str]:
        """Return notes on the weights; raises DeltError for unsound ones, and for a context or ids beyond the model."""
        found = check_model(self.name, self.revision, fetch=fetch)
        if found is None:
            return []
        self._check_context(found.position_limit)
        return found.notes

    def size(self, sizes: Sizes, resources: Resources, sample_tokens: int) -> ModelSize:
        """Return the size of the model that `name` stands for."""
        return model_size(load_config(self.name, self.revision), sample_tokens)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return nothing: it was trained elsewhere."""
        return []

    def _check_context(self, limit: int | None) -> None:
        if limit is not None and self.context_tokens is not None and self.context_tokens > limit:
            raise ConfigError(
                f"context_tokens is {self.context_tokens}, but {self.name!r} has {limit} positions; use {limit} beside "
                f"the name: proxy.context_tokens={limit} of a proxy, judge.context_tokens={limit} of a judge"
            )
