"""Everything that a configuration describes, as objects."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from omegaconf import DictConfig

from delt_exp.alignment.base import Alignment
from delt_exp.baseline import Baseline
from delt_exp.config.build import build, construct, plain
from delt_exp.config.fields import PositiveFloat, Seed, check_value
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.corpus.writing import CorpusSettings
from delt_exp.dataset.base import Dataset
from delt_exp.errors import ConfigError
from delt_exp.eval_dataset.base import EvalDataset
from delt_exp.eval_dataset.named import named
from delt_exp.logger.base import RunLogger
from delt_exp.mixture import Mixture
from delt_exp.model.recipe import Recipe
from delt_exp.ngrams.minhash import MinHash
from delt_exp.orderer import Orderer
from delt_exp.runtime import Runtime
from delt_exp.scorer.base import Scorer
from delt_exp.selector import Selector
from delt_exp.selector.reading import ReadingSelector, needs_of
from delt_exp.store.store import Store
from delt_exp.tokenizer.base import TokenizerMaker
from delt_exp.trainer.job import Averaging, Weighter, plan_for
from delt_exp.trainer.planning import PlanSettings
from delt_exp.trainer.protocol import Protocol, at_ratio
from delt_exp.trainer.settings import TrainerSettings

GROUPS = (
    "train_dataset", "target_dataset", "tokenizer", "scorer", "selector", "orderer", "mixture", "model", "weighter",
    "averaging", "trainer", "baseline",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Components:
    """Everything a configuration describes, built and checked before anything is computed.

    model: with the learning rate of `protocol`; where this tries several, with the one they are shares of.
    candidate_epochs: the budget in passes over all candidates, None for that of `training`; see `with_budget`.
    """

    train_dataset: Dataset
    target_dataset: Dataset
    tokenizer: TokenizerMaker
    scorer: Scorer
    selector: Selector | ReadingSelector
    orderer: Orderer
    mixture: Mixture
    model: Recipe
    corpus: CorpusSettings
    decontaminate: bool
    drop_near_duplicates: bool
    minhash: MinHash
    training: PlanSettings
    candidate_epochs: float | None
    protocol: Protocol
    trainer: TrainerSettings
    weighter: Weighter
    averaging: Averaging | None
    baseline: Baseline
    eval_dataset: Mapping[str, EvalDataset]
    alignment: Mapping[str, Alignment]
    logger: Mapping[str, RunLogger]
    runtime: Runtime
    store: Store
    seed: int

    @property
    def target_readers(self) -> list[str]:
        """Which of `scorer`, `selector` and `weighter` read the target set."""
        return [
            *(["scorer"] if "target" in self.scorer.needs else []),
            *(["selector"] if "target" in needs_of(self.selector) else []),
            *(["weighter"] if self.weighter.reads_target else []),
        ]


def build_components(cfg: DictConfig) -> Components:
    """Build every component of a configuration; raises ConfigError for a value that is not allowed."""
    check_value("seed", cfg.seed, Seed)
    for name in ("decontaminate", "drop_near_duplicates"):
        check_value(name, cfg[name], bool)
    built = {group: build(cfg[group], group) for group in GROUPS}
    training, candidate_epochs, protocol = training_settings(cfg.training)
    if not protocol.is_tuned:
        built["model"] = at_ratio(built["model"], *protocol.ratios)
    suite = {name: build(node, f"eval_dataset.{name}") for name, node in (cfg.eval_dataset or {}).items()}
    metrics = {name: build(node, f"alignment.{name}") for name, node in cfg.alignment.items()}
    loggers = {name: build(node, f"logger.{name}") for name, node in cfg.logger.items()}
    return Components(
        **built,
        eval_dataset=named(suite),
        alignment=metrics,
        logger=loggers,
        training=training,
        candidate_epochs=candidate_epochs,
        protocol=protocol,
        runtime=construct(Runtime, cfg.runtime, "runtime"),
        store=construct(Store, cfg.store, "store"),
        corpus=construct(CorpusSettings, cfg.corpus, "corpus"),
        decontaminate=cfg.decontaminate,
        drop_near_duplicates=cfg.drop_near_duplicates,
        minhash=build(cfg.minhash, "minhash"),
        seed=cfg.seed,
    )


def training_settings(node: Any) -> tuple[PlanSettings, float | None, Protocol]:
    """Return what the node `training` describes: how documents become batches, a budget in passes over the candidates,
    and the learning rate.

    With such a budget, the settings say one epoch until `with_budget`. Raises ConfigError for an unknown key or a value
    that is not allowed.
    """
    given, own = plain(node), {field.name for field in fields(Protocol)}
    protocol = construct(Protocol, {key: value for key, value in given.items() if key in own}, "training")
    rest = {key: value for key, value in given.items() if key not in own}
    passes = rest.pop("candidate_epochs", None)
    if passes is not None:
        check_value("training.candidate_epochs", passes, PositiveFloat)
        both = [key for key in ("epochs", "max_tokens") if rest.get(key) is not None]
        if both:
            raise ConfigError(
                f"training.candidate_epochs={passes:g} and training.{both[0]}={rest[both[0]]} both say how long to "
                f"train; give one of them: training.{both[0]}=null, or training.candidate_epochs=null"
            )
        rest["epochs"] = 1
    return construct(PlanSettings, rest, "training"), passes, protocol


def with_budget(parts: Components, candidates: TokenizedCorpus) -> Components:
    """Return the components with a budget in passes over the candidates as one of tokens."""
    if parts.candidate_epochs is None:
        return parts
    rows = np.arange(len(candidates))
    once = plan_for(parts.model, candidates.tokens, rows, replace(parts.training, epochs=1, max_tokens=None))
    max_tokens = round(parts.candidate_epochs * int(once.labels_per_step().sum()))
    return replace(parts, training=replace(parts.training, epochs=None, max_tokens=max_tokens))
