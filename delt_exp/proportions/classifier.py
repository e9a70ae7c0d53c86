"""A linear classifier of hashed n-grams that says which domain a text is of, and how sure it is.

N texts, K domains, B buckets.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, PositiveFloat, Several, settings
from delt_exp.ngrams.hashed import HashedNgrams, chunks
from delt_exp.ngrams.linear import ngram_shares

Floats = NDArray[np.float64]
MOST_LOG_SCALE = 5.0


@dataclass(frozen=True, eq=False)
class Classifier:
    """A fitted model; every domain weighs the same in it, however many texts it had."""

    ngrams: HashedNgrams
    weights_BK: Floats
    biases_K: Floats

    def logits(self, texts: list[str]) -> Floats:
        """Return [N, K] log P(domain | text) up to a constant per text, before calibration."""
        return np.asarray(shares_of_buckets(self.ngrams, texts) @ self.weights_BK + self.biases_K)


@settings
class ClassifierSettings:
    """Multinomial logistic regression on the share of each hashed n-gram in a text, as `scorer=ngram_classifier`.

    It minimises the mean loss, every domain with the same weight, + penalty/2 |w|^2.
    """

    max_ngram: Count
    num_buckets: Several
    penalty: PositiveFloat
    max_iterations: Count

    def fit(self, texts: list[str], domain_N: NDArray[np.intp]) -> Classifier:
        """Return the classifier of texts whose domains, 0 .. K - 1, are known."""
        from scipy.optimize import minimize

        ngrams = HashedNgrams(self.max_ngram, self.num_buckets)
        x, num_domains = shares_of_buckets(ngrams, texts), int(domain_N.max()) + 1
        weight_N, is_of_NK = balanced(domain_N, num_domains), np.eye(num_domains)[domain_N]

        def loss(parameters: Floats) -> tuple[float, Floats]:
            weights_BK, biases_K = np.split(parameters.reshape(-1, num_domains), [self.num_buckets])
            log_p_NK = log_softmax(x @ weights_BK + biases_K)
            value = -(weight_N @ (log_p_NK * is_of_NK).sum(axis=1)) + self.penalty / 2 * (weights_BK**2).sum()
            slope_NK = weight_N[:, None] * (np.exp(log_p_NK) - is_of_NK)
            gradient = np.vstack([x.T @ slope_NK + self.penalty * weights_BK, slope_NK.sum(axis=0)])
            return float(value), gradient.ravel()

        start = np.zeros((self.num_buckets + 1) * num_domains)
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": self.max_iterations})
        weights_BK, (biases_K,) = np.split(found.x.reshape(-1, num_domains), [self.num_buckets])
        return Classifier(ngrams, weights_BK, biases_K)


class Calibration(NamedTuple):
    """Turns logits into log P(domain | text) that is right as often as it says: logits * scale + bias_K."""

    scale: float
    bias_K: Floats

    def log_posteriors(self, logits_NK: Floats) -> Floats:
        """Return [N, K] log probabilities under the prior of the texts that it was fitted to."""
        return log_softmax(logits_NK * self.scale + self.bias_K)


def calibrate(logits_NK: Floats, domain_N: NDArray[np.intp], weights_N: Floats) -> Calibration:
    """Return the calibration of least weighted loss on held-out texts, whose weights sum to 1.

    A temperature alone (Guo et al. 2017) leaves a classifier that takes one domain for another more often than the
    reverse, which biases shares; a bias per domain takes that away (Alexandari et al. 2020, arXiv:1901.06852).
    """
    from scipy.optimize import minimize

    num_domains = logits_NK.shape[1]
    is_of_NK = np.eye(num_domains)[domain_N]

    def loss(parameters: Floats) -> tuple[float, Floats]:
        log_p_NK = log_softmax(logits_NK * parameters[0] + parameters[1:])
        slope_NK = weights_N[:, None] * (np.exp(log_p_NK) - is_of_NK)
        value = -(weights_N @ (log_p_NK * is_of_NK).sum(axis=1))
        return float(value), np.append((slope_NK * logits_NK).sum(), slope_NK.sum(axis=0))

    # A scale below 0 would invert the classifier; where labels are always right, no scale is large enough.
    bounds = [(np.exp(-MOST_LOG_SCALE), np.exp(MOST_LOG_SCALE)), *[(None, None)] * num_domains]
    start = np.append(1.0, np.zeros(num_domains))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return Calibration(float(found.x[0]), found.x[1:])


def balanced(domain_N: NDArray[np.intp], num_domains: int) -> Floats:
    """Return [N] weights of sum 1, of which every domain gets the same part."""
    return np.asarray(1 / (num_domains * np.bincount(domain_N, minlength=num_domains)[domain_N]))


def log_softmax(logits_NK: Floats) -> Floats:
    """Return log probabilities over the last axis."""
    shifted_NK = logits_NK - logits_NK.max(axis=1, keepdims=True)
    return np.asarray(shifted_NK - np.log(np.exp(shifted_NK).sum(axis=1, keepdims=True)))


def shares_of_buckets(ngrams: HashedNgrams, texts: list[str]) -> Any:
    """Return [N, B] sparse: the share of each bucket among the n-grams of a text."""
    from scipy.sparse import vstack

    return vstack([ngram_shares(ngrams, chunk) for chunk in chunks(texts)], format="csr")
