"""Which of two answers an oracle likes more. P prompts."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.answers import Answers, answered_stage
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.preference.oracle import Oracle, rewards_stage
from delt_exp.resources import Resources


class Comparison(NamedTuple):
    """Two answers [P] to each prompt; `metric` names the share of prompts at which the first wins."""

    metric: str
    first: Sequence[str]
    second: Sequence[str]


def wins_of_first(
    resources: Resources, oracle: Oracle, documents: TokenizedCorpus, rows: NDArray[np.intp], comparison: Comparison
) -> NDArray[np.float64]:
    """Return [P] 1 where the first answer has the higher reward, 0 where the second has, 0.5 for a tie.

    rows: [P] ascending, the documents whose prompts are answered; the oracle learns from none of `documents`. NaN where
    an answer does not fit what the oracle reads. An answer without text loses against any other, unread.
    """
    pairs = list(zip(comparison.first, comparison.second, strict=True))
    wins_P = np.array([0.5 + (bool(one.strip()) - bool(other.strip())) / 2 for one, other in pairs])
    asked = np.flatnonzero([all(answer.strip() for answer in pair) and pair[0] != pair[1] for pair in pairs])
    if len(asked):
        answers = Answers(rows[asked], [pairs[place] for place in asked])
        answered = answered_stage(resources.store, documents, answers, resources.run_tokenizer)
        rewards_N2 = rewards_stage(resources, oracle, documents.corpus, answered, rows[asked])
        wins_P[asked] = (np.sign(rewards_N2[:, 0] - rewards_N2[:, 1]) + 1) / 2
    return wins_P
