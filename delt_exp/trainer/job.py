"""What a training run needs, and what it leaves."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import Tokens
from delt_exp.distributed.ranks import Ranks
from delt_exp.files import read_json
from delt_exp.model.batch import Batch
from delt_exp.model.cost import ModelSize, PhaseCost, Sizes
from delt_exp.model.recipe import Network, Recipe
from delt_exp.store.evidence import Evidence
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.trainer.pair_plan import make_pair_plan
from delt_exp.trainer.plan import Plan
from delt_exp.trainer.planning import PlanSettings, make_plan
from delt_exp.trainer.settings import TrainerSettings

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

SHOWN = "shown"  # folder of the evidence that a training run leaves


def plan_for(recipe: Recipe, tokens: Tokens, order: NDArray[np.intp], settings: PlanSettings) -> Plan:
    """Return the batches in which a recipe trains `order`; raises DataError for less than one batch."""
    if recipe.objective.rows_per_sample == 2:
        context, pairs = recipe.context_tokens, recipe.batch_items
        return make_pair_plan(tokens, order, settings, context_tokens=context, batch_pairs=pairs)
    return make_plan(tokens, order, settings, context_tokens=recipe.context_tokens, batch_items=recipe.batch_items)


@dataclass(frozen=True, eq=False)
class Update:
    """One step of the optimizer that was just made, counted from 0; parameters still hold the gradients that it used.

    grad_norm: of the whole gradient, before it was clipped.
    """

    step: int
    optimizer: "Optimizer"
    grad_norm: "Tensor"


class Weights(Protocol):
    """The weights of one training run, as each of its processes holds them.

    A step minimises sum_i w_i loss_i / sum_i count_i over the sequences (of preferences: the pairs) i of its global
    batch.
    """

    def __call__(self, batch: Batch, losses_B: "Tensor") -> "Tensor":
        """Return w [B] float64 of a micro-batch, with mean 1 over the sequences of the global batch.

        `batch["index"]` says which items of the plan they are; negative for a row without any. losses_B is detached.
        """

    def planned(self) -> NDArray[np.float64] | None:
        """Return w [I] of all items for the proof of order: as they were planned, or as they were given in training.

        None where they were not kept.
        """

    def after_step(self, update: Update) -> None:
        """Learn, once the parameters of the network are those after the update; they must be the same afterwards."""

    def metrics(self) -> Mapping[str, float]:
        """Return numbers of the newest step for metrics.csv and the loggers, named `train/...`."""

    def show(self, evidence: Evidence) -> None:
        """Leave what a reader should see of the weights of a finished run."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return what a restart needs: tensors, numbers and text."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""


class Weighter(Protocol):
    """Weights sequences during training; fields of an implementation are the keys of its YAML file."""

    VERSION: ClassVar[int]

    @property
    def reads_scores(self) -> bool:
        """Whether weights depend on the scores of the run: `job.goodness`."""

    @property
    def reads_target(self) -> bool:
        """Whether weights are learnt on the target set: `job.target`, which must be disjoint from all other sets."""

    def check(self, setup: "Setup", candidates: Tokens, num_steps: int) -> None:
        """Raise ConfigError when a training run cannot be weighted like this.

        num_steps: of training on all `candidates`, the most that there can be.
        """

    def open(self, network: Any, job: "TrainJob", ranks: Ranks) -> Weights:
        """Return the weights at the beginning of a run."""

    def forecast(self, setup: "Setup", sizes: Sizes, size: ModelSize, num_tokens: int) -> list[PhaseCost]:
        """Return what the weights cost beside the training on `num_tokens`."""


class Averaging(Protocol):
    """Which weights of a training run enter their mean; fields of an implementation are the keys of its YAML file."""

    def check(self, num_steps: int) -> None:
        """Raise ConfigError when it does not fit a training run of `num_steps` steps."""

    def share(self, update: int, num_steps: int) -> float:
        """Return how much the weights after `update`, 1 .. num_steps, count in the mean of all up to then, 0 to 1.

        mean <- mean + share (weights - mean): 0 leaves them out; the first weights that enter have 1.
        """


@dataclass(frozen=True, eq=False)
class Setup:
    """What is known of a training run before its documents are."""

    recipe: Recipe
    training: PlanSettings
    trainer: TrainerSettings


@dataclass(frozen=True, eq=False)
class TrainJob:
    """Everything a training run needs; travels to other processes as it is.

    weighter: None for weights that are all 1. goodness: [N] of all documents of the plan's tokens, higher is better;
    None unless the weighter reads it. target: documents that nothing is trained on; None unless the weighter reads
    them. reference: [N, 2] log probabilities of both answers before training, for an objective on preferences; see
    `preference.reference`. averaging: None for the last weights alone. Messages name the keys of `recipe` under
    `model`; see `config.keys`.
    """

    recipe: Recipe
    plan: Plan
    tokenizer: Tokenizer
    trainer: TrainerSettings
    seed: int
    weighter: Weighter | None = None
    goodness: NDArray[np.float32] | None = None
    target: Tokens | None = None
    reference: NDArray[np.float64] | None = None
    averaging: Averaging | None = None

    def unloaded(self) -> "TrainJob":
        """Return the same job for another process, perhaps on another machine: it maps the tokens by itself.

        The precision is that of this machine, by which the result is named.
        """
        plan = replace(self.plan, tokens=Tokens(self.plan.tokens.folder))
        target = None if self.target is None else Tokens(self.target.folder)
        return replace(self, plan=plan, target=target, trainer=self.trainer.resolved())


@dataclass(frozen=True)
class TrainedModel:
    """A finished training run: its folder, the key that names it, and what is needed to read documents with it.

    network, seed: what makes the network that it began with. weights: `model` for the last ones, `averaged` for their
    mean.
    """

    folder: Path
    key: str
    tokenizer: Tokenizer
    context_tokens: int
    network: Network
    seed: int
    weights: Literal["model", "averaged"] = "model"

    @property
    def pretrained(self) -> Path:
        """Model and tokenizer in Hugging Face format."""
        return self.folder / self.weights

    @property
    def averaged(self) -> "TrainedModel | None":
        """The same with averaged weights; None where the training run kept none."""
        found = replace(self, key=f"{self.key} averaged", weights="averaged")
        return found if found.pretrained.exists() else None

    @property
    def evidence(self) -> Evidence:
        """What the run shows of its weights."""
        return Evidence(self.folder / SHOWN)

    @property
    def result(self) -> Mapping[str, Any]:
        """What the run says of itself: steps, tokens, loss, whether the order is verified."""
        result: dict[str, Any] = read_json(self.folder / "result.json")
        return result
