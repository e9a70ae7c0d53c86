"""A pretrained causal LM as probe: GPT-2 in the papers."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from delt_exp.corpus import Corpus
from delt_exp.model.pretrained import load_pretrained, position_limit, pretrained_fingerprint
from delt_exp.probe.base import ProbeModel
from delt_exp.tokenizer.hf import HfTokenizer

if TYPE_CHECKING:
    from delt_exp.alignment.base import Resources


@dataclass(frozen=True)
class PretrainedProbe:
    """`name` is a Hub name or a folder with model and tokenizer, `revision` a branch, tag or commit."""

    VERSION: ClassVar[int] = 1
    name: str
    revision: str | None

    def fingerprint(self) -> str:
        """Return what identifies the files behind `name`."""
        return pretrained_fingerprint(self.name, self.revision)

    def inputs(self, resources: "Resources") -> dict[str, Any]:
        return {}

    def prepare(self, resources: "Resources") -> ProbeModel:
        import torch
        from transformers import AutoModelForCausalLM

        from delt_exp.stages import tokenizer_stage

        network = load_pretrained(AutoModelForCausalLM, self.name, self.revision, dtype=torch.float32).eval()
        no_corpus = Corpus(Path())  # a pretrained tokenizer reads none
        tokenizer = tokenizer_stage(
            resources.store, HfTokenizer(self.name, self.revision, begin="auto", chat_template="own"), no_corpus
        )
        return ProbeModel(network.to(resources.runtime.torch_device()), tokenizer, position_limit(network.config))
