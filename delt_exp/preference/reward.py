"""Who says which of two answers is better, where no person does: a model that has learnt from preferences."""

from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

from delt_exp.config.fields import Count, Seed, settings
from delt_exp.config.keys import moved, naming
from delt_exp.corpus.corpus import Corpus, CorpusSettings
from delt_exp.corpus.stages import corpus_stage, text_stage, tokenizer_stage
from delt_exp.dataset.base import Dataset
from delt_exp.errors import ConfigError
from delt_exp.model.hf import PretrainedNetwork
from delt_exp.model.objective import Objective
from delt_exp.model.recipe import Recipe
from delt_exp.preference.judges import PreferenceJudge, ReferenceJudge
from delt_exp.preference.reference import with_reference
from delt_exp.pretrained.loading import pretrained_fingerprint
from delt_exp.resources import Resources
from delt_exp.rows.draws import seed_for, shuffled_rows
from delt_exp.store.store import Store
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.tokenizer.hf import HfTokenizer
from delt_exp.trainer.job import TrainJob, plan_for
from delt_exp.trainer.plan import PlanSettings
from delt_exp.trainer.train import training_stage

WHOLE = CorpusSettings(max_document_chars=None, drop_duplicates=False)
PRECISION = "32-true"  # of reading; whatever the judge was trained with


class Reward(NamedTuple):
    """A judge of pairs and what it reads with. key: what identifies its weights."""

    judge: PreferenceJudge
    tokenizer: Tokenizer
    key: Any


@settings
class RewardModel:
    """r(answer) = log p(answer) - log p(answer) under the reference, the reward that DPO learns (arXiv 2305.18290).

    name, reference: a model trained by DPO and the one it began with, folders or Hub names. Where both are null,
    `recipe` is trained with `objective` for `epochs` on the preferences of `dataset`: a stage that all runs with the
    same start share. beta scales all rewards alike and decides no comparison.
    """

    VERSION: ClassVar[int] = 1
    name: str | None
    reference: str | None
    dataset: Dataset
    recipe: Recipe
    objective: Objective
    epochs: Count
    seed: Seed

    def check(self) -> None:
        """Raise ConfigError for half a judge, and for an objective that learns no reward."""
        if (self.name is None) != (self.reference is None):
            raise ConfigError(
                f"judge.name is {self.name} and judge.reference {self.reference}; give both, a model trained by DPO "
                "and the one it began with, or neither"
            )
        if self.objective.rows_per_sample == 1:
            raise ConfigError("judge.objective learns no preferences, and so no reward; use dpo")

    def read(self, store: Store) -> Corpus | None:
        """Return the documents that the judge learns from; None where it is given."""
        return corpus_stage(store, self.dataset, WHOLE) if self.name is None else None

    def prepare(self, resources: Resources, context_tokens: int) -> Reward:
        """Return the judge, trained if need be. context_tokens: what a given one reads at most."""
        if self.name is None or self.reference is None:
            return self._trained(resources)
        maker = HfTokenizer(self.name, None, eos_token=None, begin="auto", chat_template="own")
        tokenizer = tokenizer_stage(resources.store, maker, None)
        start = ReferenceJudge(PretrainedNetwork(self.reference, None), tokenizer, 0, PRECISION, context_tokens)
        key = [pretrained_fingerprint(name, None) for name in (self.name, self.reference)]
        return Reward(PreferenceJudge(self.name, start), tokenizer, key)

    def _trained(self, resources: Resources) -> Reward:
        tokenizer = resources.run_tokenizer
        text = text_stage(resources.store, corpus_stage(resources.store, self.dataset, WHOLE), tokenizer)
        rows = shuffled_rows(text.corpus.ids, self.seed, "preferences of the judge")
        training = PlanSettings(layout="padded", epochs=self.epochs, max_tokens=None, completion_only=False)
        recipe = replace(self.recipe, objective=self.objective)
        seed = seed_for(self.seed, "training of the judge")
        with naming(moved(Recipe, "model", "judge.recipe")):
            plan = plan_for(recipe, text.tokens, rows, training)
            job = TrainJob(recipe, plan, tokenizer, resources.trainer, seed)
            model = training_stage(resources.store, with_reference(job, resources))
        start = ReferenceJudge(model.network, tokenizer, model.seed, PRECISION, model.context_tokens)
        return Reward(PreferenceJudge(str(model.pretrained), start), tokenizer, model.key)
