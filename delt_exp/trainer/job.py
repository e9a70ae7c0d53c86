"""What a training run needs, and what it leaves."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import Tokens
from delt_exp.files import read_json
from delt_exp.model.recipe import Recipe
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.trainer.plan import Plan, PlanSettings, make_plan
from delt_exp.trainer.settings import TrainerSettings


def plan_for(recipe: Recipe, tokens: Tokens, order: NDArray[np.intp], settings: PlanSettings) -> Plan:
    """Return the batches in which a recipe trains `order`; raises DataError for less than one batch."""
    return make_plan(tokens, order, settings, context_tokens=recipe.context_tokens, batch_items=recipe.batch_items)


@dataclass(frozen=True, eq=False)
class TrainJob:
    """Everything a training run needs; travels to other processes as it is.

    config_key: where `recipe` is configured, for messages.
    """

    recipe: Recipe
    plan: Plan
    tokenizer: Tokenizer
    trainer: TrainerSettings
    seed: int
    config_key: str = "model"


@dataclass(frozen=True)
class TrainedModel:
    """A finished training run: its folder, the key that names it, and what is needed to read documents with it."""

    folder: Path
    key: str
    tokenizer: Tokenizer
    context_tokens: int

    @property
    def pretrained(self) -> Path:
        """Model and tokenizer in Hugging Face format."""
        return self.folder / "model"

    @property
    def result(self) -> Mapping[str, Any]:
        """What the run says of itself: steps, tokens, loss, whether the order is verified."""
        result: dict[str, Any] = read_json(self.folder / "result.json")
        return result
