"""ROSE: LESS with preference pairs as shots, so that documents are kept for the reward and not for the loss.

Source: Wu et al. 2024, "ROSE: A Reward-Oriented Data Selection Framework for LLM Task-Specific Instruction Tuning",
arXiv 2412.00631.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from delt_exp.config.fields import PositiveFloat, settings
from delt_exp.corpus.tokens import Tokens
from delt_exp.errors import ConfigError, DataError
from delt_exp.model.cost import FORWARD, PhaseCost, Sizes
from delt_exp.proxy.base import ProxyModel
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.scorer.base import Pool
from delt_exp.scorer.influence.less import groups_of
from delt_exp.scorer.influence.scorer import InfluenceScorer, named

if TYPE_CHECKING:
    from delt_exp.scorer.influence.pairs import Pairs, PairShots


@settings
class RoseScorer(InfluenceScorer):
    """Cosine of a document's Adam step with the gradients of a DPO loss on preference pairs, along a warm-up run.

    Higher is better. pairs: `given` by a target with rejected answers, `mismatched` made from each answer and another
    one of its group, `sampled` from each answer and one that the proxy writes, or `auto`: given where there are any,
    else mismatched. pair_tokens: context of a side. temperature: of sampled answers; other pairs do not depend on it.
    log_probs: the `sum` over an answer's tokens, as published, or the `mean`, which does not favour long answers.
    aggregate: `pairs` takes the mean of unit gradients, which beta and the reference do not change; `gradients` the
    direction of the mean gradient of the DPO loss with `beta`, its reference the adapters off.
    """

    VERSION: ClassVar[int] = 1
    pairs: Literal["auto", "given", "mismatched", "sampled"]
    pair_tokens: Annotated[int, Ge(4)]
    temperature: PositiveFloat
    log_probs: Literal["sum", "mean"]
    aggregate: Literal["pairs", "gradients"]
    beta: PositiveFloat

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.aggregate == "gradients" and self.warm_up.adapters is None:
            raise ConfigError(
                "scorer.aggregate=gradients compares with the model without its adapters, and "
                "scorer.warm_up.adapters=null trains none; use scorer.aggregate=pairs, which needs no reference"
            )

    @property
    def meaning(self) -> Meaning:
        return Meaning(
            "ROSE influence",
            "none",
            "higher",
            "How much one step on a document would raise chosen over rejected answers.",
        )

    @property
    def longest_tokens(self) -> int:
        return max(self.context_tokens, self.pair_tokens)

    def shots(self, pool: Pool, target: Tokens, model: Callable[[], ProxyModel]) -> "PairShots":
        from delt_exp.scorer.influence.made_pairs import MismatchedPairs, mismatched, sampled_pairs
        from delt_exp.scorer.influence.pairs import GivenPairs, PairShots, tallied

        rows = self._target_rows(target)
        groups = groups_of(pool, rows, by_source=self.groups == "source")
        pairs: Pairs
        if self._are_given(target):
            pairs = given = GivenPairs(target, rows, self.pair_tokens)
            groups = self._that_fit(pool, target, rows, groups, given.fits())
        elif self.pairs == "sampled":
            pairs = sampled_pairs(
                pool.resources, target, rows, model(),
                pair_tokens=self.pair_tokens, temperature=self.temperature, seed=self.seed,
            )  # fmt: skip
            pool.evidence.remark("Each answer of the target was compared with one that the proxy wrote.")
        else:
            if self.pairs == "auto":
                _warn_of_unused(pool)
            pairs = MismatchedPairs(target, rows, mismatched(target.ids[rows], groups, self.seed), self.pair_tokens)
            pool.evidence.remark("Each answer of the target was compared with that of another document.")
        show_pairs(pool, len(rows), *tallied(pairs, np.concatenate(list(groups.values()))))
        beta = self.beta if self.aggregate == "gradients" else None
        return PairShots(pairs, groups, self.log_probs, beta)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        costs = super().forecast(sizes, resources)
        if self.pairs != "sampled":
            return costs
        num_shots = self.num_target or sizes.num_target
        parameters = self.proxy.size(sizes, resources, self.longest_tokens).parameters
        flops = float(FORWARD) * parameters * self.pair_tokens * num_shots
        *before, warm_up, target, scoring = costs
        return [*before, PhaseCost("sampled answers", num_shots, flops, 0), warm_up, target, scoring]

    @property
    def shot_tokens(self) -> int:
        # Two sides. Without their gradients, two forward passes of the reference count as one of both.
        return 2 * self.pair_tokens * (3 if self.aggregate == "gradients" else 2)

    def _are_given(self, target: Tokens) -> bool:
        if self.pairs == "given" and target.rejected is None:
            raise DataError(
                "scorer.pairs=given, but not every document of the target has a rejected answer; use "
                "target_dataset=hh_rlhf_harmless, name the field with target_dataset.rejected, or let pairs be made: "
                "scorer.pairs=mismatched"
            )
        return self.pairs in ("auto", "given") and target.rejected is not None

    def _that_fit(
        self,
        pool: Pool,
        target: Tokens,
        rows: NDArray[np.intp],
        groups: dict[str, NDArray[np.intp]],
        fits: NDArray[np.bool_],
    ) -> dict[str, NDArray[np.intp]]:
        """Return groups without pairs that do not fit, and say how many; raises DataError for a group left empty."""
        kept = {name: members[fits[members]] for name, members in groups.items()}
        for name, members in kept.items():
            if not len(members):
                raise DataError(
                    f"group {name} of the target has no pair whose answers fit scorer.pair_tokens={self.pair_tokens} "
                    f"(end-of-text included): {named(target, rows[groups[name]])} a longer one; use a larger number"
                )
        if not fits.all():
            pool.evidence.warn(
                f"{(~fits).sum()} of {len(fits)} pairs have an answer longer than scorer.pair_tokens="
                f"{self.pair_tokens} and are left out of the target: {named(target, rows[~fits])} one"
            )
        return kept


def _warn_of_unused(pool: Pool) -> None:
    """Say how many rejected answers of the target are not used because others lack one."""
    corpus = None if pool.target is None else pool.target.corpus
    if corpus is not None and 0 < corpus.num_preferences < len(corpus):
        pool.evidence.warn(
            f"{corpus.num_preferences} of {len(corpus)} documents of the target have a rejected answer, which is not "
            "used because the others have none: leave these out to compare with the given answers"
        )


def show_pairs(pool: Pool, num_documents: int, num_pairs: int, num_identical: int, num_repeated: int) -> None:
    """Leave what the pairs are; raises DataError where none has two answers."""
    if num_identical == num_pairs:
        raise DataError(
            f"all {num_pairs} pairs of the target have identical answers, which express no preference; give a target "
            "with answers that differ"
        )
    left_out = num_documents - num_pairs
    numbers = {
        "pairs": num_pairs,
        "left_out_as_too_long": left_out,
        "identical": num_identical,
        "repeated": num_repeated,
    }
    pool.evidence.numbers("pairs", numbers, "The preference pairs that stand for the target.")
    if num_repeated:
        pool.evidence.warn(f"{num_repeated} pairs of the target repeat an earlier one and count twice")
