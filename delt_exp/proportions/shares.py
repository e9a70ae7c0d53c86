"""Shares of domains from what a classifier says of texts, by expectation maximisation.

Labels are corrected by a confusion matrix, posteriors by the prior that they were learnt with. The two kinds are never
mixed: mean posteriors corrected by a confusion matrix of labels stay biased.
N observations (texts, or kinds of them), K domains, J labels.
"""

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import DataError

Floats = NDArray[np.float64]
MOST_ROUNDS = 10_000
TOLERANCE = 1e-10  # the largest change of a share in a round at which shares count as found


def shares_of_labels(confusion_JK: Floats, counts_J: NDArray[np.generic]) -> Floats:
    """Return [K] the most likely shares of the domains, given how often each label was predicted.

    confusion_JK: P(predicted j | domain k). Equals the solution of
    confusion p = counts / N where that lies in the simplex. Raises DataError for a
    label that was predicted but can come from no domain.
    """
    num_domains = confusion_JK.shape[1]
    return maximised(confusion_JK, np.asarray(counts_J, np.float64), np.full(num_domains, 1 / num_domains))


def shares_of_posteriors(posteriors_NK: Floats, prior_K: Floats, weights_N: Floats | None = None) -> Floats:
    """Return [K] the most likely shares, given P(domain | text) under a classifier of prior `prior_K`.

    Saerens, Latinne, Decaestecker 2002. weights_N: how often each text counts, None for once. Where all posteriors are
    the prior, every share is equally likely and the prior is returned. Raises DataError for a posterior above 0 of a
    domain whose prior is 0.
    """
    impossible = np.flatnonzero((prior_K == 0) & (posteriors_NK > 0).any(axis=0))
    if len(impossible):
        raise DataError(
            f"domain {impossible[0]} has prior 0 but posteriors above 0: the classifier was not trained with this "
            "prior; give the shares of its training texts"
        )
    likelihood_NK = posteriors_NK / np.where(prior_K > 0, prior_K, 1)
    weights = np.ones(len(posteriors_NK)) if weights_N is None else weights_N
    return maximised(likelihood_NK, weights, prior_K)


def maximised(likelihood_NK: Floats, weights_N: Floats, start_K: Floats, tolerance: float = TOLERANCE) -> Floats:
    """Return [K] the shares p that maximise sum_n w_n log sum_k p_k likelihood_nk, by EM from `start_K`.

    A share that starts at 0 stays there. Raises DataError where an observation of positive weight is impossible.
    """
    likelihood_NK, weights_N = likelihood_NK[weights_N > 0], weights_N[weights_N > 0]
    if not len(weights_N):
        raise DataError("no observation has a positive weight: there is nothing to estimate shares from")
    impossible = np.flatnonzero(likelihood_NK @ start_K <= 0)
    if len(impossible):
        raise DataError(
            f"observation {impossible[0]} has probability 0 under every domain: give more held-out texts, so that each "
            "label is seen among them"
        )
    share_N, shares_K = weights_N / weights_N.sum(), start_K
    for _ in range(MOST_ROUNDS):
        new_K = shares_K * ((share_N / (likelihood_NK @ shares_K)) @ likelihood_NK)
        moved, shares_K = np.abs(new_K - shares_K).max(), new_K
        if moved < tolerance:
            break
    return shares_K


def condition_number(confusion_JK: Floats) -> float:
    """Return the largest singular value over the smallest; infinite where two mixtures of domains look alike."""
    if np.linalg.matrix_rank(confusion_JK) < confusion_JK.shape[1]:
        return np.inf
    return float(np.linalg.cond(confusion_JK))


def most_confused(confusion_KK: Floats) -> tuple[int, int]:
    """Return the two domains whose texts get the most similar labels: columns of least total variation."""
    pairs = [(i, j) for j in range(confusion_KK.shape[1]) for i in range(j)]
    return min(pairs, key=lambda pair: total_variation(confusion_KK[:, pair[0]], confusion_KK[:, pair[1]]))


def total_variation(one_K: Floats, other_K: Floats) -> float:
    """Return half the sum of absolute differences: the share that would have to move."""
    return float(np.abs(one_K - other_K).sum() / 2)
