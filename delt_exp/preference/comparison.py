"""Which of two answers an oracle likes more. P prompts."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.answers import Answers, answered_stage
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.preference.oracle import Oracle, rewards_stage, wins_by_reward
from delt_exp.resources import Resources


class Rewarded(NamedTuple):
    """An answer [P] to each prompt, and its reward [P]; NaN where it has no text or was not read to its end."""

    answers: Sequence[str]
    rewards_P: NDArray[np.float64]


def rewarded(
    resources: Resources, oracle: Oracle, documents: TokenizedCorpus, rows: NDArray[np.intp], first: Sequence[str],
    second: Sequence[str],
) -> tuple[Rewarded, Rewarded]:  # fmt: skip
    """Return two answers [P] to each prompt with their rewards, which are read together.

    rows: [P] ascending, the documents whose prompts are answered; the oracle learns from none of `documents`. Where one
    of two does not fit what the oracle reads, neither has a reward.
    """
    pairs = list(zip(first, second, strict=True))
    has_text_P2 = np.array([[bool(answer.strip()) for answer in pair] for pair in pairs]).reshape(-1, 2)
    rewards_P2, asked = np.full((len(rows), 2), np.nan), np.flatnonzero(has_text_P2.any(1))
    if len(asked):
        # An answer without text cannot be read: the other one stands in.
        readable = [(one if one.strip() else other, other if other.strip() else one) for one, other in pairs]
        answers = Answers(rows[asked], [readable[place] for place in asked])
        answered = answered_stage(resources.store, documents, answers, resources.run_tokenizer)
        rewards_P2[asked] = rewards_stage(resources, oracle, documents.corpus, answered, rows[asked])
    rewards_P2[~has_text_P2] = np.nan
    return Rewarded(first, rewards_P2[:, 0]), Rewarded(second, rewards_P2[:, 1])


def wins_of_first(first: Rewarded, second: Rewarded) -> NDArray[np.float64]:
    """Return [P] 1 where the first answer has the higher reward, 0 where the second has, 0.5 for a tie.

    Equal answers tie, and one without text loses against any other, whatever was read; otherwise NaN where a reward is.
    """
    pairs = list(zip(first.answers, second.answers, strict=True))
    wins_P = np.array([0.5 + (bool(one.strip()) - bool(other.strip())) / 2 for one, other in pairs])
    differ = np.flatnonzero([all(answer.strip() for answer in pair) and pair[0] != pair[1] for pair in pairs])
    wins_P[differ] = wins_by_reward(np.stack([first.rewards_P, second.rewards_P], axis=1)[differ])
    return wins_P
