"""A probe trained here, on a dataset of its own that does not depend on the texts it will compare."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from delt_exp.config.checks import check_integer
from delt_exp.corpus.corpus import CorpusSettings
from delt_exp.corpus.draws import seed_for, shuffled_rows
from delt_exp.dataset.base import Dataset
from delt_exp.model.recipe import Recipe
from delt_exp.probe.base import ProbeModel
from delt_exp.tokenizer.base import TokenizerMaker
from delt_exp.trainer.plan import PlanSettings

if TYPE_CHECKING:
    from delt_exp.resources import Resources


@dataclass(frozen=True)
class TrainedProbe:
    """Trains `recipe` on the shuffled documents of `dataset` until `train_tokens` tokens were predicted.

    A training found in the store is used again. tokenizer: trained on the same dataset where it is one that is trained.
    """

    VERSION: ClassVar[int] = 2
    dataset: Dataset
    tokenizer: TokenizerMaker
    recipe: Recipe
    train_tokens: int
    seed: int

    def __post_init__(self) -> None:
        check_integer("probe.train_tokens", self.train_tokens, at_least=1)
        check_integer("probe.seed", self.seed, at_least=0)

    def inputs(self, resources: "Resources") -> dict[str, Any]:
        return {"probe_precision": resources.trainer.resolved_precision()}

    def prepare(self, resources: "Resources") -> ProbeModel:
        from delt_exp.corpus.stages import corpus_stage, tokenizer_stage, tokens_stage
        from delt_exp.pretrained.loading import load_causal_lm
        from delt_exp.trainer.train import TrainJob, training_stage

        store = resources.store
        corpus = corpus_stage(store, self.dataset, CorpusSettings(max_document_chars=None, drop_duplicates=True))
        tokenizer = tokenizer_stage(store, self.tokenizer, corpus)
        tokens = tokens_stage(store, corpus, tokenizer).tokens
        order = shuffled_rows(corpus.ids, self.seed, "documents of the probe")
        settings = PlanSettings(layout="packed", epochs=None, max_tokens=self.train_tokens, completion_only=False)
        plan = self.recipe.plan(tokens, order, settings)
        seed = seed_for(self.seed, "training of the probe")
        job = TrainJob(self.recipe, plan, tokenizer, resources.trainer, seed, "probe.recipe")
        network = load_causal_lm(training_stage(store, job).pretrained)
        limit = self.recipe.network.position_limit(tokenizer)
        return ProbeModel(network.to(resources.runtime.torch_device()), tokenizer, limit)
