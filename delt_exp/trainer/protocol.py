"""With which learning rate a run is trained: that of its model, a small part of it, or the best of several.

Which of two choices of data is better can depend on the rate that both are trained with. Wang et al. (arXiv 2512.24503)
find that rankings by small models flip with it, and that those under tiny rates agree with those of large models whose
rate was tuned for each choice.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, cast

from delt_exp.config.fields import PositiveFloat, ProperShare, settings
from delt_exp.errors import ConfigError
from delt_exp.model.recipe import Recipe


@settings
class Protocol:
    """How the peak learning rate of the trained model is chosen; proxies keep their own.

    protocol: `fixed` is model.optimizer.lr; `tiny_rate` is `tiny_ratio` times that; `tuned` is the best of
    `tuned_ratios` times that, by the loss on documents left out of training. Each kept document is left out with
    probability `validation_share`, decided by its content and the seed, so that arms of one seed leave out the same.
    """

    protocol: Literal["fixed", "tiny_rate", "tuned"]
    tiny_ratio: PositiveFloat
    tuned_ratios: Sequence[PositiveFloat]
    validation_share: ProperShare

    def __post_init__(self) -> None:
        if len(self.tuned_ratios) < 2 or len(set(self.tuned_ratios)) < len(self.tuned_ratios):
            raise ConfigError(
                f"training.tuned_ratios is {list(self.tuned_ratios)}; give at least two shares of model.optimizer.lr, "
                "each once"
            )

    @property
    def is_tuned(self) -> bool:
        """Whether several learning rates are tried."""
        return self.protocol == "tuned"

    @property
    def ratios(self) -> list[float]:
        """The learning rates to train with, as shares of model.optimizer.lr, ascending."""
        return {"fixed": [1.0], "tiny_rate": [self.tiny_ratio]}.get(self.protocol) or sorted(self.tuned_ratios)

    def check(self, recipe: Recipe) -> None:
        """Raise ConfigError where rates are to be tuned and the objective has no loss on held-out documents."""
        if self.is_tuned and recipe.objective.rows_per_sample == 2:
            raise ConfigError(
                "training.protocol=tuned compares rates by the loss on held-out documents, which an objective on "
                "preferences does not have; use training.protocol=fixed with the rate model.optimizer.lr"
            )


def at_ratio(recipe: Recipe, ratio: float) -> Recipe:
    """Return a recipe whose peak learning rate is this share of the given one."""
    optimizer = cast(Any, recipe.optimizer)
    return replace(recipe, optimizer=replace(optimizer, lr=optimizer.lr * ratio))
