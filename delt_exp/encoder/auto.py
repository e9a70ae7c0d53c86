"""The best encoder that is at hand without a network."""

from collections.abc import Sequence
from typing import Any, ClassVar

from delt_exp.config.fields import Count, settings
from delt_exp.encoder.minilm import MiniLmEncoder, packaged_folder
from delt_exp.encoder.proxy import ProxyEncoder
from delt_exp.mapping.judge import TextJudge
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.pretrained.loading import check_models
from delt_exp.proxy.base import Proxy
from delt_exp.resources import Resources


@settings
class AutoEncoder:
    """MiniLM where its package is installed, else the hidden states of `proxy`."""

    VERSION: ClassVar[int] = 1
    proxy: Proxy
    context_tokens: Count

    def __post_init__(self) -> None:
        self.chosen()  # raises for a setting that it does not allow

    def chosen(self) -> MiniLmEncoder | ProxyEncoder:
        """Return the encoder that is used here."""
        if packaged_folder() is not None:
            return MiniLmEncoder(self.context_tokens)
        return ProxyEncoder(self.proxy, self.context_tokens)

    def inputs(self, resources: Resources) -> dict[str, Any]:
        return self.chosen().inputs(resources)

    def judge(self, resources: Resources) -> TextJudge:
        return self.chosen().judge(resources)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        return self.chosen().forecast(sizes, resources)

    def check_weights(self, *, fetch: bool) -> Sequence[str]:
        """Return notes on the weights of the encoder that is used."""
        return check_models(self.chosen(), fetch=fetch)
