"""A causal language model with random weights, built from any `transformers` configuration."""

from typing import Any, ClassVar

from delt_exp.config.fields import settings
from delt_exp.errors import ConfigError
from delt_exp.pretrained.limits import POSITION_SETTINGS, position_limit
from delt_exp.rows.draws import seed_for
from delt_exp.tokenizer.base import Tokenizer, Vocabulary

ALWAYS_CAUSAL = ("gpt2", "gpt_neox", "llama", "mistral", "olmo2", "opt", "phi3", "qwen2", "qwen3")


@settings
class FreshNetwork:
    """`architecture` is a `transformers` model type (llama, gpt2, mistral ...), `config` its settings.

    The vocabulary size comes from the tokenizer.
    """

    VERSION: ClassVar[int] = 2
    architecture: str
    config: dict[str, Any]

    def make(self, tokenizer: Tokenizer, seed: int) -> Any:
        """Return the network with weights that depend only on settings, vocabulary and seed.

        Raises ConfigError for an unknown architecture or setting.
        """
        import torch
        from transformers import AutoModelForCausalLM

        config = self.transformers_config(tokenizer)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(seed, "weights of a fresh network"))
            return AutoModelForCausalLM.from_config(config)

    def check(self, tokenizer: Tokenizer) -> None:
        """Accept any tokenizer, as the vocabulary is made to fit; raises ConfigError for a network that reads ahead."""
        if self.architecture in ALWAYS_CAUSAL:  # spares the import of `transformers` as below
            return
        from delt_exp.pretrained.weights import refuse_reading_ahead

        refuse_reading_ahead(self.make(tokenizer, seed=0), self.architecture)

    def position_limit(self, tokenizer: Tokenizer) -> int | None:
        """Return how many positions the network takes, None for no limit; raises ConfigError as `make` does."""
        said = [self.config[name] for name in POSITION_SETTINGS if name in self.config]
        # What the settings say saves the import of `transformers`, several seconds of a run that computes nothing.
        return said[0] if said else position_limit(self.transformers_config(tokenizer))

    def transformers_config(self, vocabulary: Vocabulary) -> Any:
        """Return the configuration; raises ConfigError for an unknown architecture or setting."""
        from transformers import AutoConfig

        special = {"bos_token_id": vocabulary.begin_id, "eos_token_id": vocabulary.eos_id, "pad_token_id": None}
        try:
            config = AutoConfig.for_model(self.architecture, vocab_size=vocabulary.vocab_size, **special, **self.config)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"model.network.architecture={self.architecture!r}: {error}") from error
        self._refuse_unknown(config)
        return config

    def _refuse_unknown(self, config: Any) -> None:
        """`transformers` swallows misspelt settings; a fresh default config knows the real ones."""
        known = set(type(config)().to_dict())
        unknown = sorted(set(self.config) - known - set(type(config).attribute_map))
        if unknown:
            raise ConfigError(f"model.network.config.{unknown[0]} is not a setting of a {self.architecture} model")
