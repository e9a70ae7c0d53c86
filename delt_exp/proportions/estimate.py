"""Shares of domains, soft and hard, from the logits of a classifier on a model's texts and on held-out ones.

N texts that the model wrote, H held-out texts, K domains, B bootstraps, S = 2 estimators (soft, hard), V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from delt_exp.proportions.classifier import Calibration, balanced, calibrate
from delt_exp.proportions.shares import Floats, maximised, shares_of_labels, shares_of_posteriors
from delt_exp.rows.draws import generator

LOOP_NGRAM, LOOP_TOKENS, LOOP_DISTINCT = 4, 16, 0.5


@dataclass(frozen=True, eq=False)
class Estimate:
    """Shares by either estimator [K], and what they were made from; confusion_KK is P(predicted, domain)."""

    soft_K: Floats
    hard_K: Floats
    confusion_KK: Floats
    posteriors_NK: Floats
    calibration: Calibration


@dataclass(frozen=True, eq=False)
class Readings:
    """What a classifier that gives all K domains the same weight says of texts; domain_H: whose the held-out are."""

    logits_NK: Floats
    logits_HK: Floats
    domain_H: NDArray[np.intp]

    @property
    def num_domains(self) -> int:
        return self.logits_HK.shape[1]

    @cached_property
    def predicted(self) -> NDArray[np.intp]:
        """[N] the likeliest domain of each text."""
        return np.asarray(self.logits_NK.argmax(axis=1))

    def labels(self, counts_N: Floats) -> Floats:
        """Return [K] how often each label was predicted."""
        return np.asarray(np.bincount(self.predicted, counts_N, self.num_domains), np.float64)

    def estimate(self, counts_N: Floats, counts_H: Floats) -> Estimate:
        """Return the shares where text n counts `counts_N` times and held-out text h `counts_H` times.

        The held-out texts serve twice, for the confusion matrix and to calibrate posteriors. Labels are those of the
        classifier as it is, so that neither estimator depends on the other.
        """
        confusion_KK, num_domains = self._confusion(counts_H), self.num_domains
        weights_H = counts_H * balanced(self.domain_H, num_domains)
        calibration = calibrate(self.logits_HK, self.domain_H, weights_H / weights_H.sum())
        posteriors_NK = np.exp(calibration.log_posteriors(self.logits_NK))
        prior_K = np.full(num_domains, 1 / num_domains)
        return Estimate(
            shares_of_posteriors(posteriors_NK, prior_K, counts_N),
            shares_of_labels(confusion_KK, self.labels(counts_N)),
            confusion_KK, posteriors_NK, calibration,
        )  # fmt: skip

    def _confusion(self, counts_H: Floats) -> Floats:
        """Return [K, K]. One more text of each domain, spread over all labels, keeps every label possible."""
        counts_KK = np.full((self.num_domains, self.num_domains), 1 / self.num_domains)
        np.add.at(counts_KK, (self.logits_HK.argmax(axis=1), self.domain_H), counts_H)
        return counts_KK / counts_KK.sum(axis=0)

    def bootstrap(self, seed: int, number: int) -> list[Floats]:
        """Return soft and hard shares of texts drawn anew: of the model, and of the held-out ones domain by domain."""
        rng, num_texts = generator(seed, "bootstrap of proportions", number), len(self.logits_NK)
        counts_N = rng.multinomial(num_texts, np.full(num_texts, 1 / num_texts)).astype(np.float64)
        counts_H = np.zeros(len(self.domain_H))
        for domain in range(self.num_domains):
            own = np.flatnonzero(self.domain_H == domain)
            counts_H[own] = rng.multinomial(len(own), np.full(len(own), 1 / len(own)))
        found = self.estimate(counts_N, counts_H)
        return [found.soft_K, found.hard_K]

    def intervals(self, num_bootstraps: int, alpha: float, seed: int) -> tuple[Floats, Floats]:
        """Return intervals [S, K, 2] of level 1 - alpha, quantiles of bootstraps, and standard errors [S, K]."""
        shares_BSK = np.array([self.bootstrap(seed, number) for number in range(num_bootstraps)])
        ends_2SK = np.quantile(shares_BSK, [alpha / 2, 1 - alpha / 2], axis=0)
        return np.moveaxis(ends_2SK, 0, -1), shares_BSK.std(axis=0, ddof=1)


def first_token_shares(first_V: Floats, first_tokens: Sequence[NDArray[np.int64]]) -> Floats:
    """Return [K] the shares under which the domains' first tokens are as the model's: EM, without sampling error.

    first_V: P(first token) under the model; first_tokens: those of each domain's texts. Tokens that begin no text of
    any domain say nothing.
    """
    frequency_VK = np.stack([np.bincount(one, minlength=len(first_V)) / len(one) for one in first_tokens], axis=1)
    is_seen_V = frequency_VK.any(axis=1)
    num_domains = len(first_tokens)
    return maximised(frequency_VK[is_seen_V], first_V[is_seen_V], np.full(num_domains, 1 / num_domains))


def is_looping(ids: Sequence[int]) -> bool:
    """Return whether a text of at least LOOP_TOKENS tokens has fewer distinct n-grams than LOOP_DISTINCT of them."""
    if len(ids) < LOOP_TOKENS:
        return False
    grams = list(zip(*(ids[start:] for start in range(LOOP_NGRAM)), strict=False))
    return len(set(grams)) < LOOP_DISTINCT * len(grams)
