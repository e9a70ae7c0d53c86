"""From which domains a model seems to have learnt, by what it writes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import settings
from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.stages import corpus_stage, text_stage
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.corpus.writing import WHOLE
from delt_exp.dataset.base import Dataset
from delt_exp.eval_dataset.base import Evaluation, Measure
from delt_exp.model.cost import ModelSize, PhaseCost, forward_cost
from delt_exp.model.recipe import Recipe
from delt_exp.proportions.detector import Detected, Detector
from delt_exp.proportions.samples import check_positions
from delt_exp.resources import Resources
from delt_exp.store.store import Store
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.trainer.job import TrainedModel

ESTIMATES = ("soft", "hard", "raw", "first_token")


@dataclass(frozen=True)
class ShareMeasure(Measure):
    """A share of a domain with its bootstrap interval, None for an estimate without one; see `Detector`."""

    interval: tuple[float, float] | None


@settings
class Proportions:
    """Estimates the share of each of `domains` (label: dataset) among the documents that a model was trained on.

    `share_soft` and `share_hard` of a domain are corrected, with bootstrap intervals and standard errors; `share_raw`
    is what the classifier says as it is, `share_first_token` the estimate that needs no text; see `Detector`. They sum
    to 1 over the domains, whatever else the model has read. `held_out_accuracy` says what the classifier is worth on
    texts of known domains. The stage keeps all of it (`detected.json`).
    """

    VERSION: ClassVar[int] = 1
    domains: Mapping[str, Dataset]
    detector: Detector

    def prepare(self, resources: Resources) -> NDArray[np.uint64]:
        """Read and tokenise the domains; return the content ids of their documents.

        Raises ConfigError for fewer than two domains and for one with too few documents.
        """
        domains = self.read(resources.store, resources.run_tokenizer)
        self.detector.references(domains, resources.run_tokenizer)
        return np.concatenate([domain.corpus.ids for domain in domains.values()])

    def check_model(self, name: str, model: Recipe, resources: Resources) -> None:
        limit, most = model.network.position_limit(resources.run_tokenizer), self.detector.max_new_tokens
        check_positions(most, limit, f"eval_dataset.{name}.detector.max_new_tokens", "the model")

    def forecast(self, size: ModelSize, resources: Resources) -> list[PhaseCost]:
        """Return the cost of the texts that the model writes, all of full length."""
        num_texts, per_pass = self.detector.num_texts, resources.runtime.tokens_per_pass()
        return [forward_cost("sampling texts", size, num_texts, num_texts * self.detector.max_new_tokens, per_pass)]

    def text(self, store: Store) -> Corpus | None:
        """Return None: the domains are what is told apart, and no text that the model should know."""
        return None

    def read(self, store: Store, tokenizer: Tokenizer) -> dict[str, TokenizedCorpus]:
        """Return the documents of each domain, whole."""
        corpora = {label: corpus_stage(store, dataset, WHOLE) for label, dataset in self.domains.items()}
        return {label: text_stage(store, corpus, tokenizer) for label, corpus in corpora.items()}

    def evaluate(self, name: str, model: TrainedModel, resources: Resources) -> Evaluation:
        """Return all measures; raises DataError where the model writes nothing."""
        domains = self.read(resources.store, model.tokenizer)
        detected, folder = self.detector.detect(resources, model.pretrained, model.key, model.tokenizer, domains)
        return Evaluation(list(_measures(name, detected)), folder, None)


def _measures(name: str, detected: Detected) -> Iterator[Measure]:
    yield Measure(name, "held_out_accuracy", detected.accuracy, None, detected.num_held_out, "share of texts", "higher")
    unit = f"share of {detected.unit}"
    for estimate in ESTIMATES:
        errors, intervals = (getattr(detected, f"{estimate}_{what}", None) for what in ("error", "interval"))
        for number, label in enumerate(detected.labels):
            share, error = getattr(detected, estimate)[number], errors[number] if errors else None
            interval = tuple(intervals[number]) if intervals else None
            known = f"{name}/{label}", f"share_{estimate}", share, error, detected.num_texts, unit
            yield ShareMeasure(*known, "neither", interval)
