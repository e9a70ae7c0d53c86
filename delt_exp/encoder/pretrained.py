"""A pretrained text encoder by Hub name or folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from delt_exp.config.checks import check_choice, check_integer
from delt_exp.encoder.hidden_states import EncoderStates, states_width
from delt_exp.pretrained.loading import check_model, load_pretrained, pretrained_fingerprint
from delt_exp.resources import Resources


@dataclass(frozen=True)
class PretrainedEncoder:
    """An encoder of `transformers` or sentence-transformers, its last hidden states pooled to a vector of length 1.

    name, revision: a Hub name or folder, and a branch, tag or commit. pooling: `mean` or `cls`, as it was trained.
    context_tokens: how much of a document is read, from its beginning.
    """

    VERSION: ClassVar[int] = 1
    name: str
    revision: str | None
    pooling: str
    context_tokens: int

    def __post_init__(self) -> None:
        check_choice("encoder.pooling", self.pooling, ("mean", "cls"))
        check_integer("encoder.context_tokens", self.context_tokens, at_least=1)

    def fingerprint(self) -> str:
        """Return what identifies the files that `name` stands for."""
        return pretrained_fingerprint(self.name, self.revision)

    def inputs(self, resources: Resources) -> dict[str, Any]:
        return {}

    def judge(self, resources: Resources) -> EncoderStates:
        from transformers import AutoConfig

        config = load_pretrained(AutoConfig, self.name, self.revision)
        width = states_width(config, self.context_tokens, self.name)
        return EncoderStates(self.name, self.revision, self.pooling, self.context_tokens, width)

    def check_weights(self, *, fetch: bool) -> Sequence[str]:
        """Return notes on the weights; raises DeltError for unsound ones."""
        found = check_model(self.name, self.revision, fetch=fetch, causal=False)
        return [] if found is None else found.notes
