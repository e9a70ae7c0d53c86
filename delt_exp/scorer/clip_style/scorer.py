"""How well a document fits its class and how far it is from others there. R documents to score, N candidates."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, NonNegativeFloat, PositiveFloat, PositiveShare, Seed, settings
from delt_exp.corpus.values_file import read_labels
from delt_exp.encoder.base import Encoder
from delt_exp.encoder.clusters import clustered
from delt_exp.encoder.stage import check_vectors, embeddings_stage
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import file_sha256
from delt_exp.mapping.judge import TextBatch
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import generator
from delt_exp.scorer.base import Pool
from delt_exp.scorer.clip_style.adapter import adapted
from delt_exp.scorer.clip_style.classes import Classes
from delt_exp.scorer.clip_style.terms import Doubles, alignment, diversity, mixture, own_share
from delt_exp.scorer.file_rows import rows_in_file
from delt_exp.store.evidence import Evidence

Vectors = NDArray[np.float32]


@settings
class ClipStyleScorer:
    """SAS + `diversity_weight` x SDS, each scaled; the threshold of arXiv:2410.11215 for texts is `selector=top_r`.

    SAS is the cosine of a document's embedding with the prototype of its class; SDS is its mean distance to its nearest
    others there: as many as `neighbour_share` of the class, at most `num_neighbours`. encoder: what makes a vector.
    classes: the `sources` of the corpus; `clusters`, `num_clusters` of them, by k-means; or `labels` in the column
    `column` of the file `labels`, which names documents `by` id or row as in `scorer=table`. prototype: the `centroid`
    of a class, or the vector of a `text` about it: its text in `descriptions`, else `template` with its {name}.
    adapter: `linear` layers for documents and prototypes, trained for `adapter_epochs` to tell the classes apart.
    scaling: `standard`, mean 0 and deviation 1, or `minmax`, the published one.
    """

    VERSION: ClassVar[int] = 3
    PLACES: ClassVar[frozenset[str]] = frozenset({"labels"})
    needs: ClassVar[frozenset[str]] = frozenset()
    encoder: Encoder
    classes: Literal["clusters", "sources", "labels"]
    num_clusters: Count
    labels: str | None
    by: Literal["id", "row"]
    column: str
    prototype: Literal["centroid", "text"]
    descriptions: Mapping[str, str]
    template: str | None
    adapter: Literal["none", "linear"]
    adapter_epochs: Count
    adapter_rate: PositiveFloat
    num_neighbours: Count
    neighbour_share: PositiveShare
    diversity_weight: NonNegativeFloat
    scaling: Literal["standard", "minmax"]
    seed: Seed

    def __post_init__(self) -> None:
        if self.prototype == "text" and self.classes == "clusters":
            raise ConfigError(
                "scorer.prototype=text needs classes with names, but scorer.classes=clusters has none; use "
                "scorer.classes=sources or labels, or scorer.prototype=centroid"
            )
        if (self.labels is None) == (self.classes == "labels"):
            raise ConfigError(
                f"scorer.classes={self.classes}, but scorer.labels={self.labels}; give a file of labels with "
                "scorer.classes=labels, and none otherwise"
            )
        if self.template is not None and "{name}" not in self.template:
            raise ConfigError(
                f"scorer.template={self.template!r} has no {{name}} in it, so all classes would get the same text"
            )

    @property
    def meaning(self) -> Meaning:
        explanation = "How well the document fits its class, and how far it is from its neighbours there."
        unit = "standard deviations" if self.scaling == "standard" else "none"
        return Meaning("fit and diversity", unit, "higher", explanation)

    def fingerprint(self) -> str | None:
        """Return a hash of the file of labels; raises DataError where there is none."""
        if self.labels is None:
            return None
        if not Path(self.labels).is_file():
            raise DataError(f"scorer.labels={self.labels}: there is no such file; give Parquet, CSV or JSON Lines")
        return file_sha256(Path(self.labels))

    def score(self, pool: Pool) -> NDArray[np.float32]:
        """Return scores [R]; classes and neighbours are those of all candidates, whichever are scored."""
        corpus = pool.candidates.corpus
        classes = self._named_classes(pool)
        if classes is not None:
            self._check_classes(classes)
        texts = classes.texts(self.descriptions, self.template) if classes and self.prototype == "text" else None
        with pool.evidence.phase("encoding"):
            vectors_ND = embeddings_stage(pool.resources, self.encoder, corpus, np.arange(len(corpus)))
        check_vectors(vectors_ND, corpus.ids)
        if classes is None:
            key = "scorer.num_clusters"
            draws = generator(self.seed, "clusters of CLIP style")
            found = clustered(vectors_ND, corpus.ids, self.num_clusters, draws, key)
            classes = Classes([str(number) for number in range(len(found))], found.of_N)
            self._check_classes(classes)
        prototypes_CD = classes.centroids(vectors_ND) if texts is None else self._encoded(texts, pool.resources)
        if self.adapter == "linear":
            classes.check_prototypes(prototypes_CD)
            vectors_ND, prototypes_CD = self._adapted(pool, vectors_ND, classes, prototypes_CD)
        classes.check_prototypes(prototypes_CD)
        return self._values(pool, vectors_ND, classes, prototypes_CD)[pool.rows].astype(np.float32)

    def _values(self, pool: Pool, vectors_ND: Vectors, classes: Classes, prototypes_CD: Doubles) -> Doubles:
        """Return [N] the mixture of both terms, and leave their means in each class."""
        evidence = pool.evidence
        with evidence.phase("neighbours"):
            parts_N = classes.parts(vectors_ND, pool.candidates.corpus.ids, self.seed)
            sds_N = diversity(vectors_ND, parts_N, self.num_neighbours, self.neighbour_share)
        sds_N = np.where(np.isnan(sds_N), np.nanmean(sds_N), sds_N)  # alone in its class: neutral
        sas_N = alignment(vectors_ND, classes.of_N, prototypes_CD)
        _show(evidence, classes, sas_N, sds_N)
        return mixture({"SAS": sas_N, "SDS": sds_N}, self.diversity_weight, self.scaling, evidence.warn)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of the encoder; neighbours and adapters cost next to nothing beside it."""
        return self.encoder.forecast(sizes, resources)

    def _named_classes(self, pool: Pool) -> Classes | None:
        """Return the classes that are known before anything is encoded; None for clusters."""
        corpus = pool.candidates.corpus
        if self.classes == "sources":
            return Classes.named(corpus.meta["sources"], np.asarray(corpus.source_codes))
        if self.labels is None:
            return None
        keys, labels = read_labels(Path(self.labels), self.by, self.column)
        rows_N = rows_in_file(self.labels, self.by, keys, len(labels), replace(pool, chosen=None), "label")
        names, class_N = np.unique(np.array(labels)[rows_N], return_inverse=True)
        return Classes(names.tolist(), class_N)

    def _check_classes(self, classes: Classes) -> None:
        classes.check_sizes()
        if self.adapter == "linear" and len(classes.names) < 2:
            raise ConfigError(
                "scorer.adapter=linear learns to tell classes apart, and there is one; use scorer.adapter=none"
            )

    def _encoded(self, texts: list[str], resources: Resources) -> Doubles:
        """Return [C, D] the vectors of texts about the classes."""
        judgement = self.encoder.judge(resources).open(resources.runtime.torch_device())
        return np.asarray(
            judgement(TextBatch(texts, np.arange(len(texts), dtype=np.uint64), np.arange(len(texts)))), np.float64
        )

    def _adapted(
        self, pool: Pool, vectors_ND: Vectors, classes: Classes, prototypes_CD: Doubles
    ) -> tuple[Vectors, Doubles]:
        ids, device = pool.candidates.corpus.ids, pool.resources.runtime.torch_device()
        with pool.evidence.phase("adapting"):
            after = adapted(
                vectors_ND, classes.of_N, prototypes_CD, ids, self.adapter_epochs, self.adapter_rate, self.seed, device
            )
        shares = {
            "share nearest to the own prototype, before": own_share(vectors_ND, classes.of_N, prototypes_CD),
            "share nearest to the own prototype, after": own_share(after[0], classes.of_N, after[1]),
        }
        caption = "How many documents have no other class's prototype at a higher cosine, before and after the adapter."
        pool.evidence.numbers("adapter", shares, caption)
        return after


def _show(evidence: Evidence, classes: Classes, sas_N: Doubles, sds_N: Doubles) -> None:
    sizes_C = classes.sizes
    columns = {
        "class": classes.names,
        "documents": sizes_C,
        "SAS": np.bincount(classes.of_N, sas_N) / sizes_C,
        "SDS": np.bincount(classes.of_N, sds_N) / sizes_C,
    }
    caption = "Mean cosine with the prototype (SAS) and mean distance to the nearest others (SDS) of each class."
    evidence.table("classes", columns, caption)
    if alone := int((sizes_C == 1).sum()):
        evidence.remark(f"Documents alone in their class: {alone:,}; they got the mean SDS of all.")
