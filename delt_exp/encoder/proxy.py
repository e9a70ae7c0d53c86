"""The hidden states of a causal language model as an encoder."""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from delt_exp.config.fields import Count, settings
from delt_exp.config.identity import identity
from delt_exp.encoder.hidden_states import CausalStates, states_width
from delt_exp.model.cost import PhaseCost, Sizes, forward_cost
from delt_exp.pretrained.loading import load_config
from delt_exp.proxy.base import Proxy
from delt_exp.resources import Resources


@settings
class ProxyEncoder:
    """The mean last hidden states of `proxy`, of length 1.

    context_tokens: how much of a document is read, from its beginning.
    """

    VERSION: ClassVar[int] = 1
    proxy: Proxy
    context_tokens: Count

    def inputs(self, resources: Resources) -> dict[str, Any]:
        return {"proxy": identity(self.proxy), **self.proxy.inputs(resources)}

    def judge(self, resources: Resources) -> CausalStates:
        model = self.proxy.prepare(resources)
        width = states_width(load_config(model.name, model.revision), self.context_tokens, "the probe")
        return CausalStates(model.name, model.revision, model.tokenizer.folder, self.context_tokens, width)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of the proxy and of reading, in tokens of the run's tokenizer."""
        lengths_N, per_pass = np.minimum(sizes.lengths_N, self.context_tokens), resources.runtime.tokens_per_pass()
        size = self.proxy.size(sizes, resources, self.context_tokens)
        made = [replace(cost, phase=f"encoding: {cost.phase}") for cost in self.proxy.forecast(sizes, resources)]
        return [*made, forward_cost("encoding", size, len(lengths_N), int(lengths_N.sum()), per_pass)]
