"""Who says which of two answers is better, where no person does: something that gives each a reward. N preferences."""

import shutil
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.identity import identity
from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.errors import ConfigError
from delt_exp.files import digest
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.resources import Resources

FILE = "rewards.npy"


class Oracle(Protocol):
    """Rewards answers; fields of an implementation are the keys of its YAML file, in messages under `oracle`."""

    VERSION: ClassVar[int]

    def rewards(
        self, resources: Resources, apart_from: Corpus, documents: TokenizedCorpus, rows: NDArray[np.intp],
        folder: Path,
    ) -> NDArray[np.float64]:  # fmt: skip
        """Return [N, 2]: the rewards of the chosen and of the rejected answer of the documents `rows`, higher better.

        NaN for both where one does not fit what the oracle reads at most. apart_from: preferences that an oracle must
        not learn from. folder: for what a killed call continues with.
        """

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of what must be trained first."""


def rewards_stage(
    resources: Resources, oracle: Oracle, apart_from: Corpus, documents: TokenizedCorpus, rows: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the rewards [N, 2] of `Oracle.rewards`; a killed call continues."""
    inputs = {
        "oracle": identity(oracle),
        "apart_from": apart_from.digest,
        "tokens": documents.tokens.digest,
        "rows": digest(np.ascontiguousarray(rows, np.int64)),
        "precision": resources.trainer.resolved_precision(),  # an oracle may be trained in it
        "format": 1,
    }

    def build(folder: Path) -> None:
        np.save(folder / FILE, oracle.rewards(resources, apart_from, documents, rows, folder))
        shutil.rmtree(folder / "shards", ignore_errors=True)

    use = resources.store.get("rewards", inputs, build, resumable=True)
    return np.asarray(np.load(use.path / FILE))


def check_oracle_context(name: str, position_limit: int | None, context_tokens: int) -> None:
    """Raise ConfigError where an oracle from elsewhere would read more tokens than it has positions."""
    if position_limit is not None and context_tokens > position_limit:
        raise ConfigError(
            f"the oracle's context_tokens is {context_tokens}, but {name!r} has {position_limit} positions; set it to "
            f"{position_limit}, beside the oracle's name"
        )


def wins_by_reward(rewards_N2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return [N] 1 where the first answer has the higher reward, 0 where the second has, 0.5 for a tie, NaN for NaN."""
    return (np.sign(rewards_N2[:, 0] - rewards_N2[:, 1]) + 1) / 2
