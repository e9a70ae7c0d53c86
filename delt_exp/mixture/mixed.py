"""From an order of documents and a mixture to the sequence that is trained."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import Tokens
from delt_exp.errors import ConfigError
from delt_exp.mixture import Mixture
from delt_exp.mixture.sources import Sources, interleaved
from delt_exp.model.recipe import Recipe
from delt_exp.rows.candidates import Candidates
from delt_exp.trainer.plan import Plan
from delt_exp.trainer.planning import PlanSettings


@dataclass(frozen=True, eq=False)
class Mixed:
    """What is trained: order: [K] the kept rows in the order in which each is reached first; rows_P: with repetitions.

    training: the settings under which `rows_P` is trained. sources, shares_G: None without a mixture.
    """

    order: NDArray[np.intp]
    rows_P: NDArray[np.intp]
    training: PlanSettings
    sources: Sources | None
    shares_G: NDArray[np.float64] | None

    def rows(self, plan: Plan, candidates: Candidates) -> list[dict[str, Any]] | None:
        """Return for each source its tokens, its natural, planned and trained share and its epochs; None without any.

        Tokens are predicted ones.
        """
        if self.sources is None or self.shares_G is None:
            return None
        trained = plan.trained_order
        tokens_P = predicted_tokens(plan.tokens, completion_only=plan.completion_only)[trained]
        by_group = np.bincount(candidates.groups[trained], tokens_P, len(candidates.group_names))
        by_name = dict(zip(candidates.group_names, by_group / by_group.sum(), strict=True))
        columns = {
            "source": list(self.sources.names),
            "tokens": self.sources.tokens_G.tolist(),
            "natural": self.sources.natural_shares.tolist(),
            "share": self.shares_G.tolist(),
            "trained": [float(by_name[name]) for name in self.sources.names],
            "epochs": self.sources.epochs(self.shares_G).tolist(),
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def mixed(
    mixture: Mixture, candidates: Candidates, tokens: Tokens, order: NDArray[np.intp], training: PlanSettings
) -> Mixed:
    """Return the sequence of kept rows, in `order`, with the shares of a mixture in every prefix.

    Its budget is training.max_tokens, or the predicted tokens of training.epochs epochs of what is kept. Raises
    ConfigError for a mixture of fewer than two sources, or what the mixture raises.
    """
    groups_K, tokens_K = (
        candidates.groups[order],
        predicted_tokens(tokens, completion_only=training.completion_only)[order],
    )
    tokens_G = np.bincount(groups_K, tokens_K, len(candidates.group_names)).astype(np.int64)
    present = np.flatnonzero(tokens_G)
    names = [candidates.group_names[group] for group in present.tolist()]
    budget_tokens = training.max_tokens or int(tokens_G.sum()) * (training.epochs or 1)
    sources = Sources(names, tokens_G[present], budget_tokens)
    shares_G = mixture(sources)
    if shares_G is None:
        return Mixed(order, order, training, None, None)
    if len(present) < 2:
        raise ConfigError(
            f"mixture: the kept documents have {len(present)} source ({', '.join(sources.names) or 'no name'}), so "
            "there is nothing to mix; use train_dataset=mixture or another dataset of several sources, or "
            "mixture=none"
        )
    positions = interleaved(np.searchsorted(present, groups_K), tokens_K, shares_G, budget_tokens)
    rows_P = order[positions]
    _, first = np.unique(positions, return_index=True)
    reached = positions[np.sort(first)]
    unreached = np.setdiff1d(np.arange(len(order)), reached)
    training = training if training.max_tokens is not None else replace(training, epochs=1)
    return Mixed(order[np.concatenate([reached, unreached])], rows_P, training, sources, shares_G)


def predicted_tokens(tokens: Tokens, *, completion_only: bool) -> NDArray[np.int64]:
    """Return [N] the tokens of each document that training predicts, the end-of-text token included."""
    before = tokens.predicted_before(tokens.offsets, completion_only=completion_only)
    return np.diff(before) + 1


def refuse_preferences(recipe: Recipe) -> None:
    """Raise ConfigError for an objective on preferences, whose budget counts both answers."""
    if recipe.objective.rows_per_sample == 2:
        raise ConfigError("mixture shares out the tokens of documents, and preferences are pairs; use mixture=none")
