"""What a run produced, before it is written down."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.baseline.answer import Answer
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.eval_dataset.base import Evaluation
from delt_exp.scorer.stage import Scores
from delt_exp.store.evidence import Evidence
from delt_exp.store.store import StageUse
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.trainer.job import TrainedModel
from delt_exp.trainer.plan import Plan


@dataclass(frozen=True, eq=False, kw_only=True)
class Prepared:
    """What there is before training.

    documents: what is trained on, in the rows of the candidates. kept: [K] corpus rows in corpus order; order: [K] the
    same rows in the order in which each is trained first, those that are not trained last; None where the run ended
    before. kept_by_scores: whether the choice depends on scores. target_readers: `scorer`, `selector` and `weighter`,
    as far as they read the target set. model_notes: what was found in pretrained weights, a sentence each. stages: all
    that were asked for, on the way too, in order.
    """

    started: datetime
    seconds: float
    candidates: TokenizedCorpus
    target: TokenizedCorpus | None
    target_readers: Sequence[str]
    tokenizer: Tokenizer
    table: Scores
    documents: TokenizedCorpus
    kept: NDArray[np.intp] | None
    kept_by_scores: bool
    order: NDArray[np.intp] | None
    overlap: "Overlap"
    model_notes: list[str]
    stages: Sequence[StageUse]

    @property
    def roles(self) -> dict[str, Iterable[Path]]:
        """What the folders of the run's own results are to it."""
        target = [self.target.corpus.folder, self.target.tokens.folder] if self.target is not None else []
        return {
            "candidates": [self.candidates.corpus.folder, self.candidates.tokens.folder],
            "target": target,
            "tokenizer": [self.tokenizer.folder],
            "scores": [self.table.folder],
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome(Prepared):
    """What a run produced, for its record and its page.

    mixture: what was asked for and trained of each source, None without a mixture. show_selection: leaves what is to be
    seen of the choice. selecting_flops: operations of a selector that reads documents, training runs between its rounds
    included. protocol: see `steps.tuning.Tuning.facts`. evaluations: by the name of the dataset; averaged: the same of
    averaged weights, where there are some. references: losses that need no model, by dataset. alignment: see
    `run_alignment`. compared: None where no baseline was asked for.
    """

    kept: NDArray[np.intp]
    order: NDArray[np.intp]
    mixture: list[dict[str, Any]] | None
    show_selection: Callable[[Evidence], None]
    selecting_flops: float
    plan: Plan
    protocol: Mapping[str, Any]
    model: TrainedModel
    evaluations: Mapping[str, Evaluation]
    references: Mapping[str, Mapping[str, float]]
    averaged: Mapping[str, Evaluation]
    alignment: list[dict[str, Any]]
    compared: "Compared | None" = None

    @property
    def roles(self) -> dict[str, Iterable[Path]]:
        """What the folders of the run's own results are to it."""
        return {
            **super().roles,
            "model": [self.model.folder],
            **{f"evaluation on {name}": [found.folder] for name, found in self.evaluations.items()},
            **{f"evaluation of averaged weights on {name}": [found.folder] for name, found in self.averaged.items()},
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Compared:
    """The baseline of a run and what it tells.

    skipped: why there is none; then the rest is empty. seconds: of training and evaluating it, or of finding it in the
    store. documents: how many it trains.
    """

    skipped: str = ""
    seconds: float = 0.0
    documents: int = 0
    model: TrainedModel | None = None
    evaluations: Mapping[str, Evaluation] = field(default_factory=dict)
    answers: Sequence[Answer] = ()


@dataclass(frozen=True)
class Overlap:
    """What should be disjoint and is not, as counts of distinct documents.

    target: {documents, in_train, near_train}, None where the scorer reads no target. evaluation: dataset -> the same
    and {in_target, near_target}, for the datasets whose text is at hand. in_: equal documents; near_: others that are
    near-duplicates (see `delt_exp.dataset.near_duplicates`).
    """

    target: dict[str, int] | None
    evaluation: dict[str, dict[str, int]]
