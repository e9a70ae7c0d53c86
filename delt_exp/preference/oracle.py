"""Who labels answers: something that gives each a reward. N preferences."""

from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.resources import Resources


class Oracle(Protocol):
    """Rewards answers; fields of an implementation are the keys of its YAML file."""

    VERSION: ClassVar[int]

    def rewards(
        self, resources: Resources, candidates: Corpus, documents: TokenizedCorpus, rows: NDArray[np.intp],
        folder: Path,
    ) -> NDArray[np.float64]:  # fmt: skip
        """Return [N, 2]: the rewards of the chosen and of the rejected answer of the documents `rows`, higher better.

        candidates: what an oracle that is trained must not learn from. folder: for what a killed call continues with.
        """

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of what must be trained first."""
