"""Continue from any pretrained causal language model."""

from collections.abc import Sequence
from typing import Any, ClassVar

from delt_exp.config.fields import settings
from delt_exp.errors import ConfigError
from delt_exp.pretrained.limits import position_limit
from delt_exp.pretrained.loading import (
    check_ids,
    check_weights,
    load_causal_lm,
    load_config,
    load_pretrained,
    pretrained_fingerprint,
)
from delt_exp.tokenizer.base import Tokenizer, Vocabulary


@settings
class PretrainedNetwork:
    """A pretrained causal LM: `name` is a Hub name or a folder, `revision` a branch, tag or commit."""

    VERSION: ClassVar[int] = 1
    PLACES: ClassVar[frozenset[str]] = frozenset({"name"})
    name: str
    revision: str | None

    def fingerprint(self) -> str:
        """Return what identifies the files that `name` stands for."""
        return pretrained_fingerprint(self.name, self.revision)

    def make(self, tokenizer: Tokenizer, seed: int) -> Any:
        """Return the network in float32, its weights checked: see `load_causal_lm`."""
        return load_causal_lm(self.name, self.revision)

    def check_weights(self, *, fetch: bool) -> Sequence[str]:
        """Return notes on the weights; raises DeltError for unsound ones."""
        found = check_weights(self.name, self.revision, fetch=fetch)
        return [] if found is None else found.notes

    def check(self, tokenizer: Tokenizer) -> None:
        """Raise ConfigError for another tokenizer, whose ids mean nothing to the model, and for ids beyond it.

        Raises for unsound weights too, where they are at hand.
        """
        from transformers import AutoTokenizer

        own = load_pretrained(AutoTokenizer, self.name, self.revision).get_vocab()
        vocabulary = tokenizer.vocabulary()
        if any(own.get(token) != index for token, index in vocabulary.items()):
            raise ConfigError(
                f"the tokenizer gives other ids than {self.name!r} was trained with; "
                f"use its own: tokenizer=hf tokenizer.name={self.name}"
            )
        found = check_weights(self.name, self.revision, fetch=False)
        if found is not None:
            check_ids(tokenizer.pretrained(), found.embedding_rows, self.name)

    def position_limit(self, tokenizer: Tokenizer) -> int | None:
        """Return how many positions the pretrained model takes, None for no limit."""
        return position_limit(self.transformers_config(tokenizer))

    def transformers_config(self, vocabulary: Vocabulary) -> Any:
        """Return the configuration stored with the model."""
        return load_config(self.name, self.revision)
