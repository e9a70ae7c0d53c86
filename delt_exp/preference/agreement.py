"""What an oracle is worth: how often it prefers the answers that people prefer. N preferences."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.identity import identity
from delt_exp.corpus.pairs import fitting
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.files import digest, read_json, write_json
from delt_exp.preference.oracle import Oracle, rewards_stage, wins_by_reward
from delt_exp.quantity import is_chance
from delt_exp.resources import Resources
from delt_exp.statistics.ratio import ratio_stderr
from delt_exp.store.evidence import Evidence

FILE = "agreement.json"


class Agreement(NamedTuple):
    """The share of preferences on which an oracle agrees with people, None without any; error: None without two."""

    accuracy: float | None
    stderr: float | None
    num_preferences: int


def agreement(rewards_N2: NDArray[np.float64]) -> Agreement:
    """Return how often the chosen answer has the higher reward; a tie counts half, a reward that is not finite nothing.

    rewards_N2: of the answer that people chose and of the one that they rejected.
    """
    known_N2 = rewards_N2[np.isfinite(rewards_N2).all(1)]
    if not len(known_N2):
        return Agreement(None, None, 0)
    right_N = wins_by_reward(known_N2)
    return Agreement(float(right_N.mean()), ratio_stderr(right_N, np.ones(len(right_N))), len(right_N))


def agreement_stage(
    resources: Resources, oracle: Oracle, candidates: TokenizedCorpus, context_tokens: int
) -> Agreement:  # fmt: skip
    """Return the agreement with the labels of the candidates, which a trained oracle has not learnt from.

    Only candidates whose answers fit the context count. A killed call continues.
    """
    rows = np.flatnonzero(fitting(candidates.tokens, context_tokens))
    inputs = {
        "oracle": identity(oracle),
        "candidates": candidates.corpus.digest,
        "tokens": candidates.tokens.digest,
        "rows": digest(np.ascontiguousarray(rows, np.int64)),
        "precision": resources.trainer.resolved_precision(),  # an oracle may be trained in it
        "format": 1,
    }

    def build(folder: Path) -> None:
        rewards_N2 = rewards_stage(resources, oracle, candidates.corpus, candidates, rows)
        write_json(folder / FILE, agreement(rewards_N2)._asdict())

    return Agreement(**read_json(resources.store.get("agreement", inputs, build).path / FILE))


def show_agreement(evidence: Evidence, found: Agreement) -> None:
    """Leave how often the oracle agrees with people, and a warning where that is like chance."""
    evidence.numbers(
        "oracle", found._asdict(),
        "How often the oracle that labels the picks prefers the answer that people prefer, over the candidates with "
        "the labels of the dataset, none of which a trained oracle has learnt from. 0.5 is chance.",
    )  # fmt: skip
    if found.accuracy is not None and (found.stderr is None or is_chance(found.accuracy, found.stderr)):
        noise = "" if found.stderr is None else f" ± {found.stderr:.3f}"
        evidence.warn(
            f"the oracle is not shown to agree with people more often than chance: on {found.accuracy:.3f}{noise} of "
            f"{found.num_preferences} preferences; the labels of the picks may carry no information about quality"
        )
