"""LESS: documents whose next step of training goes where the gradients of target documents point.

Source: Xia et al. 2024, "LESS: Selecting Influential Data for Targeted Instruction Tuning", arXiv 2402.04333.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from delt_exp.config.fields import settings
from delt_exp.corpus.tokens import Tokens
from delt_exp.errors import ConfigError, DataError
from delt_exp.proxy.base import ProxyModel
from delt_exp.quantity import Meaning
from delt_exp.scorer.base import Pool
from delt_exp.scorer.influence.scorer import InfluenceScorer, named

if TYPE_CHECKING:
    from delt_exp.scorer.influence.directions import Shots


@settings
class LessScorer(InfluenceScorer):
    """Cosine of a document's Adam step with the loss gradients of target documents, along a warm-up run.

    Higher is better. The largest over groups of the sum over the warm-up's epochs of weight times the mean cosine with
    the documents of the group.
    """

    VERSION: ClassVar[int] = 1

    @property
    def meaning(self) -> Meaning:
        return Meaning(
            "LESS influence", "none", "higher", "How much one step on a document would lower the loss on the target."
        )

    def shots(self, pool: Pool, target: Tokens, model: Callable[[], ProxyModel]) -> "Shots":
        from delt_exp.scorer.influence.directions import DocumentShots

        rows = self._target_rows(target)
        without = rows[target.num_predicted[rows] == 0]
        if len(without):
            raise DataError(f"{named(target, without)} nothing to predict; leave them out of target_dataset")
        assert pool.target is not None
        groups = groups_of(pool, rows, by_source=self.groups == "source")
        return DocumentShots(target, rows, groups, self.context_tokens)


def groups_of(pool: Pool, rows: np.ndarray, *, by_source: bool) -> dict[str, np.ndarray]:
    """Return the positions in `rows`, of the target, by the source of the documents, or all as one group.

    Raises ConfigError for a source of the target without a document among `rows`.
    """
    assert pool.target is not None
    corpus = pool.target.corpus
    if not by_source:
        return {"target": np.arange(len(rows))}
    codes = np.asarray(corpus.source_codes[rows])
    names = [name or "unnamed source" for name in corpus.meta["sources"]]
    missing = np.setdiff1d(corpus.source_codes, codes)
    if len(missing):
        raise ConfigError(
            f"none of the {len(rows)} target documents drawn comes from {names[missing[0]]!r}, so it would have no "
            "group; raise scorer.num_target (null: all), or use scorer.groups=one"
        )
    return {names[code]: np.flatnonzero(codes == code) for code in np.unique(codes)}
