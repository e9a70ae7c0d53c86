"""What a reader sees of clusters and their values. C clusters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delt_exp.encoder.clusters import Clusters
from delt_exp.quantity import Meaning
from delt_exp.rows.ranking import spread
from delt_exp.scorer.base import Pool
from delt_exp.scorer.shed.estimators import Estimate
from delt_exp.store.evidence import Evidence, Figure

TEXT_CHARS = 200
LEAST_RELIABILITY = 0.5


@dataclass(frozen=True, eq=False)
class Found:
    """Clusters and their values. nothing, everything: the utility of no proxy and of all. num_sets: evaluated ones."""

    clusters: Clusters
    estimate: Estimate
    scores_C: NDArray[np.float32]
    nothing: float
    everything: float
    num_sets: int

    @property
    def reliability(self) -> float:
        """Share of the variance of the values that is not their standard error; NaN for one iteration."""
        variance = float(self.estimate.values.var(ddof=1)) if len(self.clusters) > 1 else 0.0
        noise = float(np.mean(self.estimate.errors**2))
        return float(np.maximum(0.0, 1 - noise / variance)) if variance else float("nan")  # `max` would take nan for 0


def show(pool: Pool, found: Found, meaning: Meaning) -> None:
    """Leave tables of clusters and documents, the numbers of the valuation, a figure, and warnings."""
    evidence, reliability = pool.evidence, found.reliability
    numbers: dict[str, float | str | None] = {
        "clusters": float(len(found.clusters)), "utility of no proxy": found.nothing,
        "utility of all proxies": found.everything, "sets evaluated": float(found.num_sets),
        "share of evaluations left out": found.estimate.truncated,
        "reliability of the values": None if np.isnan(reliability) else reliability,
    }  # fmt: skip
    caption = "Reliability: the share of the variance of the values that is not their standard error."
    evidence.numbers("valuation", numbers, caption)
    _show_tables(pool, found)
    figure = Figure(
        "Values of the clusters", "clusters", "scatter", "documents", ("value",), "documents of the cluster",
        meaning.name,
    )  # fmt: skip
    evidence.figure("cluster_values", figure, "One point per cluster; its value is the score of all its documents.")
    _warn(evidence, found)


def _show_tables(pool: Pool, found: Found) -> None:
    clusters, corpus = found.clusters, pool.candidates.corpus
    texts = [text[:TEXT_CHARS] for text in corpus.texts(clusters.proxies_C)]
    columns = {
        "cluster": np.arange(len(clusters)), "documents": np.bincount(clusters.of_N, minlength=len(clusters)),
        "value": found.estimate.values, "standard_error": found.estimate.errors,
        "proxy_row": clusters.proxies_C, "proxy_text": texts,
    }  # fmt: skip
    pool.evidence.table("clusters", columns, "Each cluster with the document that stands for it, and its value.")
    rows = pool.rows
    of_R = clusters.of_N[rows]
    documents = {
        "id": pool.ids, "cluster": of_R, "is_proxy": np.isin(rows, clusters.proxies_C), "value": found.scores_C[of_R]
    }  # fmt: skip
    pool.evidence.table("documents", documents, "The cluster of each document, and whether it stands for it.")


def _warn(evidence: Evidence, found: Found) -> None:
    if found.everything <= found.nothing:
        evidence.warn(
            f"the utility of all proxies, {found.everything:.4g}, is not above that of none, {found.nothing:.4g}: "
            "learning from everything does not help the target, and values say which clusters harm least; look at the "
            "target, or train longer"
        )
    if len(found.clusters) > 1 and not spread(found.estimate.values):
        evidence.warn("all clusters have the same value, so that the order of their documents means nothing")
    if found.reliability < LEAST_RELIABILITY:
        evidence.warn(
            f"only {found.reliability:.0%} of the variance of the values is more than their standard error: most of "
            "the ranking is noise; raise scorer.iterations or lower scorer.num_clusters (scorer.estimator=halves makes "
            "the most of each evaluation)"
        )
