"""How well a document fits its class and how far it is from others there. R documents to score, N candidates."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, NonNegativeFloat, PositiveShare, Seed, settings
from delt_exp.corpus.corpus import Corpus
from delt_exp.encoder.base import Encoder
from delt_exp.encoder.stage import embeddings_stage
from delt_exp.errors import ConfigError, DataError
from delt_exp.mapping.judge import TextBatch
from delt_exp.quantity import Meaning
from delt_exp.scorer.base import Pool
from delt_exp.scorer.clip_style.classes import centroids, clustered
from delt_exp.scorer.clip_style.terms import Doubles, alignment, diversity, mixture
from delt_exp.scorer.density.scorer import check_vectors
from delt_exp.store.evidence import Evidence


@settings
class ClipStyleScorer:
    """SAS + `diversity_weight` x SDS, each scaled; the threshold of arXiv:2410.11215 for texts is `selector=top_r`.

    SAS is the cosine of a document's embedding with the prototype of its class; SDS is its mean distance to its nearest
    others there: as many as `neighbour_share` of the class, at most `num_neighbours`. encoder: what makes a vector.
    classes: the `sources` of the corpus, or `clusters`, `num_clusters` of them, by k-means. prototype: the `centroid`
    of a class, or the vector of a `text` about it in `descriptions`, one for each source. scaling: `standard`, mean 0
    and deviation 1, or `minmax`, the published one.
    """

    VERSION: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()
    encoder: Encoder
    classes: Literal["clusters", "sources"]
    num_clusters: Count
    prototype: Literal["centroid", "text"]
    descriptions: Mapping[str, str]
    num_neighbours: Count
    neighbour_share: PositiveShare
    diversity_weight: NonNegativeFloat
    scaling: Literal["standard", "minmax"]
    seed: Seed

    def __post_init__(self) -> None:
        if self.prototype == "text" and self.classes == "clusters":
            raise ConfigError(
                "scorer.prototype=text needs classes with names, but scorer.classes=clusters has none; use "
                "scorer.classes=sources or scorer.prototype=centroid"
            )

    @property
    def meaning(self) -> Meaning:
        explanation = "How well the document fits its class, and how far it is from its neighbours there."
        return Meaning("fit and diversity", "1", "higher", explanation)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        corpus, evidence = pool.candidates.corpus, pool.evidence
        self._check_names(corpus)
        with evidence.phase("encoding"):
            vectors_ND = embeddings_stage(pool.resources, self.encoder, corpus, np.arange(len(corpus)))
        check_vectors(vectors_ND, corpus.ids)
        names = [str(number) for number in range(self.num_clusters)]
        if self.classes == "clusters":
            class_N = clustered(vectors_ND, corpus.ids, self.num_clusters, self.seed)
        else:
            names, class_N = corpus.meta["sources"], np.asarray(corpus.source_codes, np.intp)
        _check_sizes(np.bincount(class_N))
        with evidence.phase("neighbours"):
            sds_N = diversity(vectors_ND, class_N, self.num_neighbours, self.neighbour_share)
        sds_N = np.where(np.isnan(sds_N), np.nanmean(sds_N), sds_N)  # alone in its class: neutral
        sas_N = alignment(vectors_ND, class_N, self._prototypes(pool, vectors_ND, class_N, names))
        _show(evidence, names, class_N, sas_N, sds_N)
        value_N = mixture({"SAS": sas_N, "SDS": sds_N}, self.diversity_weight, self.scaling, evidence.warn)
        return value_N[pool.rows].astype(np.float32)

    def _check_names(self, corpus: Corpus) -> None:
        """Raise DataError for a source without a text, before anything is encoded."""
        if self.prototype != "text":
            return
        for name in corpus.meta["sources"]:
            if not self.descriptions.get(name, "").strip():
                raise DataError(
                    f"the source {name!r} has no text in scorer.descriptions, which has "
                    f"{', '.join(self.descriptions) or 'none'}; add scorer.descriptions.{name}, or use "
                    "scorer.prototype=centroid"
                )

    def _prototypes(
        self, pool: Pool, vectors_ND: NDArray[np.float32], class_N: NDArray[np.intp], names: list[str]
    ) -> Doubles:
        if self.prototype == "centroid":
            return centroids(vectors_ND, class_N, len(names))
        texts = [self.descriptions[name] for name in names]
        judgement = self.encoder.judge(pool.resources).open(pool.resources.runtime.torch_device())
        batch = TextBatch(texts, np.arange(len(texts), dtype=np.uint64), np.arange(len(texts)))
        return np.asarray(judgement(batch), np.float64)


def _check_sizes(sizes_C: NDArray[np.intp]) -> None:
    used, alone = int((sizes_C > 0).sum()), int((sizes_C == 1).sum())
    if 2 * alone > used:
        raise ConfigError(
            f"{alone} of {used} classes have one document, which has no neighbours; use a smaller scorer.num_clusters "
            "with scorer.classes=clusters"
        )


def _show(evidence: Evidence, names: list[str], class_N: NDArray[np.intp], sas_N: Doubles, sds_N: Doubles) -> None:
    sizes_C = np.bincount(class_N, minlength=len(names))
    used = np.flatnonzero(sizes_C)
    columns = {
        "class": [names[number] for number in used],
        "documents": sizes_C[used],
        "SAS": np.bincount(class_N, sas_N)[used] / sizes_C[used],
        "SDS": np.bincount(class_N, sds_N)[used] / sizes_C[used],
    }
    caption = "Mean cosine with the prototype (SAS) and mean distance to the nearest others (SDS) of each class."
    evidence.table("classes", columns, caption)
    if alone := int((sizes_C == 1).sum()):
        evidence.remark(f"Documents alone in their class: {alone:,}; they got the mean SDS of all.")
