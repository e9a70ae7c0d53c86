"""An oracle from elsewhere: a model trained by DPO, beside the one that it began with."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, settings
from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.stages import tokenizer_stage, tokens_stage
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.model.hf import PretrainedNetwork
from delt_exp.preference.judges import PreferenceJudge, ReferenceJudge
from delt_exp.preference.log_ratios import PRECISION, log_ratios
from delt_exp.preference.oracle import check_oracle_context
from delt_exp.pretrained.loading import check_model, pretrained_fingerprint
from delt_exp.resources import Resources
from delt_exp.tokenizer.hf import HfTokenizer


@settings
class DpoModel:
    """The reward of an answer is log p under the model `name` - log p under `reference`, folders or Hub names.

    Both read with the tokenizer of `name`. context_tokens: of prompt and answer; the prompt is cut at its beginning.
    """

    VERSION: ClassVar[int] = 1
    PLACES: ClassVar[frozenset[str]] = frozenset({"name", "reference"})
    name: str
    reference: str
    context_tokens: Count

    def fingerprint(self) -> list[str]:
        """Return what identifies the files of both models."""
        return [pretrained_fingerprint(name, None) for name in (self.name, self.reference)]

    def check_weights(self, *, fetch: bool) -> Sequence[str]:
        """Return notes on the weights of both; raises DeltError for unsound ones, and for too few positions."""
        notes: list[str] = []
        for name in (self.name, self.reference):
            found = check_model(name, None, fetch=fetch)
            if found is not None:
                check_oracle_context(name, found.position_limit, self.context_tokens)
                notes += found.notes
        return notes

    def rewards(
        self, resources: Resources, apart_from: Corpus, documents: TokenizedCorpus, rows: NDArray[np.intp],
        folder: Path,
    ) -> NDArray[np.float64]:  # fmt: skip
        """Return [N, 2] in nats; what the model has learnt from is not known here.

        Raises ConfigError for a reference with another tokenizer, to which the ids of the model mean other words.
        """
        maker = HfTokenizer(self.name, None, eos_token=None, begin="auto", chat_template="own")
        tokenizer = tokenizer_stage(resources.store, maker, None)
        PretrainedNetwork(self.reference, None).check(tokenizer)
        tokens = tokens_stage(resources.store, documents.corpus, tokenizer).tokens
        start = ReferenceJudge(PretrainedNetwork(self.reference, None), tokenizer, 0, PRECISION, self.context_tokens)
        return log_ratios(resources, tokens, rows, PreferenceJudge(self.name, start), folder)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return nothing: it was trained elsewhere."""
        return []
