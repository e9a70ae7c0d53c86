"""A pretrained text encoder by Hub name or folder."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from delt_exp.config.fields import Count, settings
from delt_exp.encoder.hidden_states import EncoderStates, states_width
from delt_exp.model.cost import PhaseCost, Sizes, encoding_cost
from delt_exp.pretrained.loading import check_model, load_config, pretrained_fingerprint
from delt_exp.resources import Resources


@settings
class PretrainedEncoder:
    """An encoder of `transformers` or sentence-transformers, its last hidden states pooled to a vector of length 1.

    name, revision: a Hub name or folder, and a branch, tag or commit. pooling: `mean` or `cls`, as it was trained.
    context_tokens: how much of a document is read, from its beginning.
    """

    VERSION: ClassVar[int] = 1
    PLACES: ClassVar[frozenset[str]] = frozenset({"name"})
    name: str
    revision: str | None
    pooling: Literal["mean", "cls"]
    context_tokens: Count

    def fingerprint(self) -> str:
        """Return what identifies the files that `name` stands for."""
        return pretrained_fingerprint(self.name, self.revision)

    def inputs(self, resources: Resources) -> dict[str, Any]:
        return {}

    def judge(self, resources: Resources) -> EncoderStates:
        width = states_width(load_config(self.name, self.revision), self.context_tokens, self.name)
        return EncoderStates(self.name, self.revision, self.pooling, self.context_tokens, width)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of reading, as if its tokenizer made as many tokens of a text as that of the run."""
        lengths_N, per_pass = np.minimum(sizes.lengths_N, self.context_tokens), resources.runtime.tokens_per_pass()
        config = load_config(self.name, self.revision)
        return [encoding_cost(config, len(lengths_N), int(lengths_N.sum()), self.context_tokens, per_pass)]

    def check_weights(self, *, fetch: bool) -> Sequence[str]:
        """Return notes on the weights; raises DeltError for unsound ones."""
        found = check_model(self.name, self.revision, fetch=fetch, causal=False)
        return [] if found is None else found.notes
