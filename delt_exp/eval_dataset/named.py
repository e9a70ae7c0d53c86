"""Evaluation sets of the user's own files, which have a name of their own on every page."""

from collections.abc import Mapping

from delt_exp.config.fields import settings
from delt_exp.errors import ConfigError
from delt_exp.eval_dataset.base import EvalDataset
from delt_exp.eval_dataset.text_loss import TextLoss


@settings
class NamedTextLoss(TextLoss):
    """`TextLoss` whose results stand under `name`, not under the key of the configuration."""

    name: str

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ConfigError("name is empty; give the evaluation set a name")


def named(suite: Mapping[str, EvalDataset]) -> dict[str, EvalDataset]:
    """Return evaluation sets by name, their key where they have none; raises ConfigError for two of one name."""
    found: dict[str, str] = {}
    for key, dataset in suite.items():
        name = dataset.name if isinstance(dataset, NamedTextLoss) else key
        if name in found:
            own = key if isinstance(dataset, NamedTextLoss) else found[name]
            raise ConfigError(
                f"two evaluation sets are called {name!r}: eval_dataset.{found[name]} and eval_dataset.{key}; rename "
                f"one: eval_dataset.{own}.name=NAME"
            )
        found[name] = key
    return {name: suite[key] for name, key in found.items()}
