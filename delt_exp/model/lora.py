"""Low-rank adapters on any network: only they are trained."""

import warnings
from pathlib import Path
from typing import Any, ClassVar

from delt_exp.config.fields import Count, HalfOpenShare, PositiveFloat, settings
from delt_exp.errors import ConfigError, DependencyError
from delt_exp.model.hf import PretrainedNetwork
from delt_exp.model.recipe import Network
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.rows.draws import seed_for
from delt_exp.tokenizer.base import Tokenizer, Vocabulary


@settings
class Adapters:
    """Low-rank adapters for a network that is named elsewhere; see `LoraNetwork`."""

    rank: Count
    alpha: PositiveFloat
    dropout: HalfOpenShare
    targets: list[str]

    def on(self, base: Network) -> "LoraNetwork":
        """Return the network of adapters on `base`."""
        return LoraNetwork(base, self.rank, self.alpha, self.dropout, self.targets)


@settings
class LoraNetwork:
    """W x + (alpha / rank) B A x in the layers `targets` of `base`, whose own weights stay (arXiv 2106.09685).

    A [rank, inputs] begins random, B [outputs, rank] at 0, so that training begins at the base. targets: names of
    linear layers, such as q_proj. dropout: of the input of A. The trained model is saved merged, so that it loads
    without `peft`, and the adapters beside it in `adapter/`.
    """

    VERSION: ClassVar[int] = 1
    base: Network
    rank: Count
    alpha: PositiveFloat
    dropout: HalfOpenShare
    targets: list[str]

    def make(self, tokenizer: Tokenizer, seed: int) -> Any:
        """Return the base with fresh adapters, the only parameters that are trained."""
        return self.attached(self.base.make(tokenizer, seed), seed)

    def attached(self, network: Any, seed: int) -> Any:
        """Return a network that stands for the base with fresh adapters; `network` itself changes."""
        import torch

        try:
            from peft import LoraConfig, get_peft_model
        except ImportError:
            raise DependencyError("a LoRA network needs peft; install it with: pip install 'delt-exp[lora]'") from None
        self._check_targets(network)
        settings = LoraConfig(
            r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=list(self.targets),
            fan_in_fan_out=type(network).__name__.startswith("GPT2"), task_type="CAUSAL_LM",
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(seed, "adapters"))
            with warnings.catch_warnings():  # `peft` asks for what `transformers` has renamed
                warnings.simplefilter("ignore", FutureWarning)
                return get_peft_model(network, settings)

    def check(self, tokenizer: Tokenizer) -> None:
        """Raise ConfigError as the base does, and for targets that are no linear layers of it; builds no weights."""
        import torch
        from transformers import AutoModelForCausalLM

        self.base.check(tokenizer)
        with torch.device("meta"):
            self._check_targets(AutoModelForCausalLM.from_config(self.transformers_config(tokenizer)))

    def position_limit(self, tokenizer: Tokenizer) -> int | None:
        return self.base.position_limit(tokenizer)

    def transformers_config(self, vocabulary: Vocabulary) -> Any:
        """Return the configuration of the base, which is that of the merged model."""
        return self.base.transformers_config(vocabulary)

    def _check_targets(self, network: Any) -> None:
        from torch import nn
        from transformers.pytorch_utils import Conv1D

        head = network.get_output_embeddings()
        linear = (module for module in network.named_modules() if isinstance(module[1], nn.Linear | Conv1D))
        names = sorted({name.rsplit(".", 1)[-1] for name, module in linear if module is not head})
        unknown = sorted(set(self.targets) - set(names))
        if unknown or not self.targets:
            wrong = f"{', '.join(unknown)} is not a linear layer" if unknown else "names no linear layer"
            raise ConfigError(
                f"model.network.targets={self.targets}: {wrong} of a {type(network).__name__}; "
                f"it has: {', '.join(names)}"
            )


def adapted(name: str, revision: str | None, adapters: Adapters | None, seed: int) -> Any:
    """Return a pretrained network in evaluation mode whose adapters alone have gradients; all weights for None.

    A folder that a training run of adapters left has them beside the merged weights: these are used, taken out of the
    weights again. Any other model gets fresh ones.
    """
    network = load_causal_lm(name, revision)
    if adapters is None:
        return network
    trained = Path(name) / "adapter"
    if not trained.is_dir():
        return adapters.on(PretrainedNetwork(name, revision)).attached(network, seed).eval()
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer

    network = PeftModel.from_pretrained(network, trained, is_trainable=True).eval()
    for layer in network.modules():
        if isinstance(layer, LoraLayer):
            layer.merged_adapters = list(layer.active_adapters)  # which is how the weights were read
            layer.unmerge()
    return network
