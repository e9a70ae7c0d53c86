"""What weighters of whole batches ask of a training run, and what they cost before they learn anything."""

from delt_exp.errors import ConfigError
from delt_exp.model.cost import ModelSize, PhaseCost, forward_cost
from delt_exp.model.objective import CrossEntropy
from delt_exp.trainer.job import Setup
from delt_exp.trainer.settings import accumulation


def check_batch(option: str, setup: Setup) -> None:
    """Raise ConfigError for batches of one sequence, or an objective whose samples are not sequences."""
    if setup.recipe.batch_items < 2:
        raise ConfigError(
            f"model.batch_items is {setup.recipe.batch_items}: a sequence alone always has the weight 1; use "
            f"model.batch_items=2 or more with weighter={option}"
        )
    if not isinstance(setup.recipe.objective, CrossEntropy):
        raise ConfigError(
            f"weighter={option} weighs sequences of text, not the samples of {type(setup.recipe.objective).__name__}; "
            "use objective@model.objective=cross_entropy or weighter=none"
        )


def reading_cost(setup: Setup, size: ModelSize, num_tokens: int) -> list[PhaseCost]:
    """Return the cost of reading every batch before it is trained; nothing where its own forward pass is enough."""
    recipe, trainer = setup.recipe, setup.trainer
    if accumulation(recipe.batch_items, trainer.world_size, trainer.micro_batch_items) == 1 == trainer.world_size:
        return []
    batch_tokens = min(recipe.batch_items, trainer.micro_batch_items) * recipe.context_tokens
    passes = -(-num_tokens // recipe.context_tokens)
    return [forward_cost("weights: batches read first", size, passes, num_tokens, batch_tokens)]
