"""The hidden states of a causal language model as an encoder."""

from dataclasses import dataclass
from typing import Any, ClassVar

from delt_exp.config.checks import check_integer
from delt_exp.config.identity import identity
from delt_exp.encoder.hidden_states import CausalStates, states_width
from delt_exp.pretrained.loading import load_pretrained
from delt_exp.proxy.base import Proxy
from delt_exp.resources import Resources


@dataclass(frozen=True)
class ProxyEncoder:
    """The mean last hidden states of `proxy`, of length 1.

    context_tokens: how much of a document is read, from its beginning.
    """

    VERSION: ClassVar[int] = 1
    proxy: Proxy
    context_tokens: int

    def __post_init__(self) -> None:
        check_integer("encoder.context_tokens", self.context_tokens, at_least=1)

    def inputs(self, resources: Resources) -> dict[str, Any]:
        return {"proxy": identity(self.proxy), **self.proxy.inputs(resources)}

    def judge(self, resources: Resources) -> CausalStates:
        from transformers import AutoConfig

        model = self.proxy.prepare(resources)
        width = states_width(load_pretrained(AutoConfig, model.name, model.revision), self.context_tokens, "the probe")
        return CausalStates(model.name, model.revision, model.tokenizer.folder, self.context_tokens, width)
