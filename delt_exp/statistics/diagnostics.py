"""What a score is made of: agreement with other scores, length, source, and whether it finds planted documents.

Shape suffixes: K scores, N documents, S seeds. For AUCs over seeds, `auc_interval` gives the interval of their mean;
make a `paired.MetricArm` of each score (one AUC a seed) for paired differences.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import kruskal, mannwhitneyu, rankdata, t

from delt_exp.errors import DataError
from delt_exp.rows.ranking import best_rows, floor_share
from delt_exp.statistics.inputs import check_lengths, check_varies, finite


def rank_agreement(scores_KN: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return Spearman's correlation [K, K] of each two scores, ties at their mean rank."""
    scores_KN = finite("scores", scores_KN, 2)
    for k, scores_N in enumerate(scores_KN):
        check_varies(f"scores[{k}]", scores_N)
    return np.atleast_2d(np.corrcoef(rankdata(scores_KN, axis=1)))  # spearmanr gives no matrix for two


def top_overlap(ids_N: NDArray[np.uint64], goodness_KN: NDArray[np.float32], ratio: float) -> NDArray[np.float64]:
    """Return the share [K, K] of the best floor(ratio * N) documents of one score that are among those of another.

    Of equal goodness the higher ids are in, as in the selectors. Raises DataError for a ratio that keeps none or
    more than all.
    """
    check_lengths(ids=ids_N, goodness=finite("goodness", goodness_KN, 2).T)
    num_kept = floor_share(ratio, len(ids_N))
    if not 1 <= num_kept <= len(ids_N):
        raise DataError(
            f"ratio={ratio} keeps {num_kept} of {len(ids_N)} documents; it must keep at least 1, at most all"
        )
    kept_KN = np.zeros(goodness_KN.shape)
    for k, goodness_N in enumerate(goodness_KN):
        kept_KN[k, best_rows(ids_N, goodness_N, num_kept)] = 1
    return kept_KN @ kept_KN.T / num_kept


def length_correlation(scores_N: NDArray[np.floating], lengths_N: NDArray[np.integer]) -> float:
    """Return Spearman's correlation of a score with the length of the documents, in any unit."""
    check_lengths(scores=scores_N, lengths=lengths_N)
    return float(rank_agreement(np.stack([finite("scores", scores_N), finite("lengths", lengths_N)]))[0, 1])


def source_share(scores_N: NDArray[np.floating], source_N: NDArray[Any]) -> float:
    """Return eta squared of the ranks in [0, 1]: the share of their variance that lies between sources.

    Kruskal and Wallis 1952: H / (N - 1). Of no relation expect (sources - 1) / (N - 1), not 0.
    """
    scores_N = finite("scores", scores_N)
    check_lengths(scores=scores_N, source=source_N)
    check_varies("scores", scores_N)
    _, group_N, counts = np.unique(source_N, return_inverse=True, return_counts=True)
    if len(counts) == 1:
        return 0.0
    groups = np.split(scores_N[np.argsort(group_N, kind="stable")], np.cumsum(counts)[:-1])
    return float(kruskal(*groups).statistic) / (len(scores_N) - 1)


def auc(scores_N: NDArray[np.floating], planted_N: NDArray[np.bool_]) -> float:
    """Return P(a planted document scores higher than another), ties counting half (Mann and Whitney 1947)."""
    scores_N, planted_N = finite("scores", scores_N), np.asarray(planted_N, np.bool_)
    check_lengths(scores=scores_N, planted=planted_N)
    check_varies("planted", planted_N)
    planted_P, others_Q = scores_N[planted_N], scores_N[~planted_N]
    return float(mannwhitneyu(planted_P, others_Q, method="asymptotic").statistic) / (len(planted_P) * len(others_Q))


def auc_interval(auc_S: NDArray[np.float64], num_fewer: int, alpha: float) -> tuple[float, float]:
    """Return the (1 - alpha) interval of the mean AUC over seeds, inside [0, 1].

    t over seeds on the logit scale (delta method). num_fewer: documents of a seed on the smaller side, planted or not.
    Few seeds can agree by chance, above all at an AUC of 1. So the variance is at least c (1 - c) / (3 n), where
    n = S num_fewer + 1 and c = (S num_fewer mean + 1/2) / n; at c = 1/2 this is that of a score without information.
    The end towards 1/2 is computed from c in place of the mean. Simulated coverage of the nominal 95 % (5 and 10 seeds,
    13 and 60 planted, AUC 0.5 to 0.9999): 0.955 to 1; of 2 seeds: 1.
    """
    mean, count = float(np.mean(auc_S)), len(auc_S) * num_fewer
    if mean < 0.5:
        low, high = auc_interval(1 - np.asarray(auc_S), num_fewer, alpha)
        return 1 - high, 1 - low
    centre = (count * mean + 0.5) / (count + 1)
    variance = max(float(np.var(auc_S, ddof=1)) / len(auc_S), centre * (1 - centre) / (3 * (count + 1)))
    half_width = float(t.isf(alpha / 2, len(auc_S) - 1)) * variance**0.5
    low = expit(logit(centre) - half_width / (centre * (1 - centre)))
    high = 1.0 if mean == 1 else expit(logit(mean) + half_width / (mean * (1 - mean)))
    return float(low), float(high)
