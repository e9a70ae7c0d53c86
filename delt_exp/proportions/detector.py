"""Which share of a model's training documents came from which domain, by what it writes.

The question and the sampling are those of Liang et al. 2024 (arXiv:2409.17527), who count labels; here they are
corrected. K domains, S = 2 estimators (soft, hard).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from delt_exp.config.fields import Count, PositiveFloat, ProperShare, Seed, Several, settings
from delt_exp.config.identity import identity
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.errors import DataError
from delt_exp.files import read_json, write_json
from delt_exp.progress import say
from delt_exp.proportions.classifier import ClassifierSettings
from delt_exp.proportions.estimate import Estimate, Readings, first_token_shares, is_looping
from delt_exp.proportions.references import References, Starts, read_references
from delt_exp.proportions.samples import FORMAT as WRITTEN
from delt_exp.proportions.samples import Samples, SampleWriter, samples_stage
from delt_exp.proportions.shares import condition_number, most_confused
from delt_exp.resources import Resources
from delt_exp.tokenizer.base import Tokenizer

FORMAT = 1  # bump when the same texts give other shares
ILL_CONDITIONED = 50
MANY_DEGENERATE = 0.2
UNSURE = 0.5  # a text whose likeliest domain is less likely is of low confidence


@dataclass(frozen=True)
class Detected:
    """What was found. Shares are [K] in the order of `labels`, intervals [K][low, high], errors standard errors.

    unit: what the shares are shares of, documents or tokens. soft: from calibrated posteriors, by EM. hard: from labels
    and their confusion matrix, by EM. raw: of the labels as they are. first_token: from P(first token) alone.
    confusion[j][k]: P(predicted j | domain k) on held-out texts; accuracy its mean diagonal, over num_held_out texts;
    condition its condition number (None: infinite). empty, looping: shares of the model's texts; unsure: of those that
    are not empty. warnings: in sentences.
    """

    labels: list[str]
    unit: str
    num_texts: int
    soft: list[float]
    soft_interval: list[list[float]]
    soft_error: list[float]
    hard: list[float]
    hard_interval: list[list[float]]
    hard_error: list[float]
    raw: list[float]
    first_token: list[float]
    confusion: list[list[float]]
    condition: float | None
    accuracy: float
    num_held_out: int
    empty: float
    looping: float
    unsure: float
    warnings: list[str]


@settings
class Detector:
    """How texts are drawn from a model and turned into shares of domains.

    The model writes `num_texts` texts of at most `max_new_tokens` from the token that begins a document, at
    `temperature`; only at 1 are they draws from what it learnt. starts: `documents` for a model trained on documents
    that each follow the begin token, which gives shares of documents; `windows` for one trained on windows of a stream
    that each follow it, which gives shares of tokens. max_references: documents of each domain, None for all. Intervals
    are of level `alpha`, over `num_bootstraps` draws of the model's and of the held-out texts; that the classifier
    could have learnt from other texts is not in them.
    """

    num_texts: Several
    max_new_tokens: Count
    temperature: PositiveFloat
    starts: Starts
    max_references: Count | None
    classifier: ClassifierSettings
    num_bootstraps: Several
    alpha: ProperShare
    seed: Seed

    def detect(
        self, resources: Resources, name: Path | str, key: str, tokenizer: Tokenizer,
        domains: Mapping[str, TokenizedCorpus],
    ) -> tuple[Detected, Path]:  # fmt: skip
        """Return what the model `name` learnt from, and the folder of the stage.

        key: identifies its weights. domains: tokenised by `tokenizer`, whose begin token the model knows. Raises
        ConfigError for domains with too few texts, DataError where the model writes nothing.
        """
        references = self.references(domains, tokenizer)
        writer = SampleWriter(str(name), tokenizer, self.max_new_tokens, self.temperature, self.seed)
        samples = samples_stage(resources, writer, key, self.num_texts)
        inputs = {
            "model": key, "detector": identity(self), "tokenizer": tokenizer.digest,
            "format": [FORMAT, WRITTEN],
            "domains": [[label, domain.tokens.digest] for label, domain in domains.items()],
        }  # fmt: skip

        def build(folder: Path) -> None:
            write_json(folder / "detected.json", asdict(self._detected(samples, references, tokenizer)))

        path = resources.store.get("proportions", inputs, build).path
        detected = Detected(**read_json(path / "detected.json"))
        for warning in detected.warnings:
            say(f"warning: {warning}")
        return detected, path

    def references(self, domains: Mapping[str, TokenizedCorpus], tokenizer: Tokenizer) -> References:
        """Return the texts of known domains; raises ConfigError where they are too few."""
        return read_references(
            domains, tokenizer, self.starts, self.max_new_tokens, self.max_references, self.seed
        )  # fmt: skip

    def _detected(self, samples: Samples, references: References, tokenizer: Tokenizer) -> Detected:
        ids = samples.ids()
        written = [one for one in ids if one]
        if not written:
            raise DataError(
                f"all {len(ids)} texts of the model are empty: it ends every document at once; train it for longer, or "
                "check that its documents began with the begin token of its tokenizer"
            )
        readings = self._readings([tokenizer.decode(one) for one in written], references)
        found = readings.estimate(np.ones(len(written)), np.ones(len(readings.domain_H)))
        intervals_SK2, errors_SK = readings.intervals(self.num_bootstraps, self.alpha, self.seed)
        soft_interval, hard_interval = intervals_SK2.tolist()
        soft_error, hard_error = errors_SK.tolist()
        empty, looping = 1 - len(written) / len(ids), sum(map(is_looping, ids)) / len(ids)
        condition = condition_number(found.confusion_KK)
        return Detected(
            labels=list(references.labels),
            unit="documents" if self.starts == "documents" else "tokens",
            num_texts=len(ids),
            soft=found.soft_K.tolist(),
            soft_interval=soft_interval,
            soft_error=soft_error,
            hard=found.hard_K.tolist(),
            hard_interval=hard_interval,
            hard_error=hard_error,
            raw=(np.bincount(readings.predicted, minlength=readings.num_domains) / len(written)).tolist(),
            first_token=first_token_shares(samples.first_V, references.first_tokens).tolist(),
            confusion=found.confusion_KK.tolist(),
            condition=condition if np.isfinite(condition) else None,
            accuracy=float(np.diag(found.confusion_KK).mean()),
            num_held_out=len(readings.domain_H),
            empty=empty,
            looping=looping,
            unsure=float((found.posteriors_NK.max(axis=1) < UNSURE).mean()),
            warnings=warnings(references.labels, found, condition, empty + looping),
        )

    def _readings(self, texts: list[str], references: References) -> Readings:
        classifier = self.classifier.fit(*references.half(held_out=False))
        held_out, domain_H = references.half(held_out=True)
        return Readings(classifier.logits(texts), classifier.logits(held_out), domain_H)


def warnings(labels: Sequence[str], found: Estimate, condition: float, degenerate: float) -> list[str]:
    """Return what makes shares doubtful, in sentences. degenerate: the share of texts that are empty or loop."""
    sentences = []
    if condition > ILL_CONDITIONED:
        one, other = (labels[number] for number in most_confused(found.confusion_KK))
        sentences.append(
            f"the condition number of the confusion matrix is {condition:.3g}: the classifier can hardly tell {one} "
            f"from {other}; join the two, or give more texts of them"
        )
    if degenerate > MANY_DEGENERATE:
        sentences.append(
            f"{100 * degenerate:.0f} % of the model's texts are empty, which shares leave out, or repeat themselves, "
            "which shares include; a model that is trained for longer, or temperature=1, writes fewer of them"
        )
    if np.allclose(found.posteriors_NK, 1 / len(labels)):
        sentences.append("the classifier finds all domains equally likely for every text: the shares are its prior")
    return sentences
