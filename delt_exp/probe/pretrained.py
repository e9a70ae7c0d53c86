"""A pretrained causal LM as probe: GPT-2 in the papers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from delt_exp.corpus.corpus import Corpus
from delt_exp.pretrained.loading import check_ids, check_model, load_causal_lm, position_limit, pretrained_fingerprint
from delt_exp.probe.base import ProbeModel
from delt_exp.tokenizer.hf import HfTokenizer

if TYPE_CHECKING:
    from delt_exp.resources import Resources


@dataclass(frozen=True)
class PretrainedProbe:
    """`name` is a Hub name or a folder with model and tokenizer, `revision` a branch, tag or commit.

    eos_token: what ends a document where the tokenizer names none; null is what it names.
    """

    VERSION: ClassVar[int] = 1
    name: str
    revision: str | None
    eos_token: str | None

    def fingerprint(self) -> str:
        """Return what identifies the files behind `name`."""
        return pretrained_fingerprint(self.name, self.revision)

    def check_weights(self, *, fetch: bool) -> Sequence[str]:
        """Return notes on the weights; raises DeltError for unsound ones, and for ids without an embedding."""
        found = check_model(self.name, self.revision, fetch=fetch)
        return [] if found is None else found.notes

    def inputs(self, resources: "Resources") -> dict[str, Any]:
        return {}

    def prepare(self, resources: "Resources") -> ProbeModel:
        from delt_exp.corpus.stages import tokenizer_stage

        network = load_causal_lm(self.name, self.revision)
        no_corpus = Corpus(Path())  # a pretrained tokenizer reads none
        maker = HfTokenizer(self.name, self.revision, self.eos_token, begin="auto", chat_template="own")
        tokenizer = tokenizer_stage(resources.store, maker, no_corpus)
        check_ids(tokenizer.pretrained(), network.get_input_embeddings().weight.shape[0], self.name)
        return ProbeModel(network.to(resources.runtime.torch_device()), tokenizer, position_limit(network.config))
