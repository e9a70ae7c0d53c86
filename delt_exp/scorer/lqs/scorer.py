"""Learnability-Quality Scoring and its relatives: what a document's gradient does for the target, along a training run.

Sources: DELT (arXiv 2506.21545), PDS (arXiv 2410.07064). Exact and costly: `delt_exp.scorer.distilled` lets a
regression model score a corpus from the annotation of a few documents.
"""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, PositiveFloat, Seed, settings
from delt_exp.config.identity import identity
from delt_exp.corpus.tokens import Tokens
from delt_exp.errors import ConfigError
from delt_exp.files import digest
from delt_exp.gradients.precision import Precision
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.proxy.base import Proxy, ProxyModel, check_before
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import shuffled_rows, target_rows
from delt_exp.runtime import Runtime
from delt_exp.scorer.base import Pool
from delt_exp.scorer.lqs.cost import Workload, forecast
from delt_exp.scorer.lqs.settings import AnnotationSettings, InitNorm, ScoreName

if TYPE_CHECKING:
    from delt_exp.scorer.lqs.job import AnnotationJob

NAMES = {
    "lqs": (
        "learnability-quality",
        "How well the gradient of a document serves the target, weighted by how much it shrinks in training.",
    ),
    "pds": ("PDS", "How well the gradient of a document serves the target for the rest of a training run."),
    "learnability": ("learnability", "How much the gradient of a document shrinks while a model trains."),
    "quality": (
        "quality",
        "The cosine between the gradient of a document and the direction that the target calls for.",
    ),
}


@settings
class LqsScorer:
    """Annotates documents along a short training run.

    score_name: `lqs`, `pds`, `learnability` or `quality`. proxy: the model the short run starts from. num_steps
    (T): updates of plain gradient descent on `batch_documents` random candidates each, none again before all were used
    (the paper takes them in corpus order). lr, interval, init_norm, precision: see `AnnotationSettings`. num_target:
    random target documents, null for all. context_tokens: how much of a document its gradient sees.
    """

    VERSION: ClassVar[int] = 2
    needs: ClassVar[frozenset[str]] = frozenset({"target", "tokens"})
    score_name: ScoreName
    proxy: Proxy
    num_steps: Count
    batch_documents: Count
    num_target: Count | None
    context_tokens: Count
    lr: PositiveFloat
    interval: Count
    init_norm: InitNorm
    precision: Precision
    seed: Seed

    def __post_init__(self) -> None:
        self._settings(Runtime("cpu", 1))  # raises for what an annotation cannot be told

    @property
    def meaning(self) -> Meaning:
        name, explanation = NAMES[self.score_name]
        return Meaning(f"{name} score", "none", "higher", explanation)

    def score(self, pool: Pool) -> NDArray[np.float64]:
        from delt_exp.scorer.lqs.evidence import show_annotation
        from delt_exp.scorer.lqs.stage import annotation_stage

        rows = self._target_rows(pool)
        check_before(self.proxy, pool.resources, self.context_tokens, "scorer.context_tokens")
        with pool.evidence.phase("warm start"):
            proxy = self.proxy.prepare(pool.resources, pool.candidates, pool.target)
        proxy.check_context(self.context_tokens, "scorer.context_tokens")
        job, resources = self._job(pool, proxy, rows), pool.resources
        annotation, cost = annotation_stage(resources.store, self._inputs(pool), job, resources.trainer)
        pool.evidence.charge("annotation", cost)
        show_annotation(pool.evidence, annotation, job)
        return np.asarray(annotation.scores(self.score_name).numpy())

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return what every phase will cost; a document counts with all `context_tokens`."""
        from delt_exp.scorer.reverse.trajectory import fits_whole

        size, settings = self.proxy.size(sizes, resources, self.context_tokens), self._settings(resources.runtime)
        num_documents, num_target = len(sizes.scored_lengths), self.num_target or sizes.num_target
        is_whole = fits_whole(self.num_steps, size.parameter_bytes, resources.trainer.devices)
        work = Workload(
            self.num_steps, self.interval, num_documents, num_target, self.batch_documents, settings.gradient_samples,
            settings.hvp_samples, self.context_tokens, is_whole, self.init_norm == "terminal",
        )  # fmt: skip
        return [*self.proxy.forecast(sizes, resources), *forecast(work, size)]

    def _inputs(self, pool: Pool) -> dict[str, Any]:
        """Return what decides the annotation: everything but which score is made of it, and how it is spread."""
        assert pool.target is not None
        settings = {key: value for key, value in identity(self).items() if key != "score_name"}
        parts = {"candidates": pool.candidates, "target": pool.target}
        return {
            "annotator": settings,
            "precision": pool.resources.trainer.resolved_precision(),
            "rows": digest(pool.rows),
            **{name: [part.corpus.digest, part.tokens.digest] for name, part in parts.items()},
        }

    def _job(self, pool: Pool, proxy: ProxyModel, rows: NDArray[np.intp]) -> "AnnotationJob":
        from delt_exp.scorer.lqs.job import AnnotationJob

        assert pool.target is not None
        runtime = pool.resources.runtime
        candidates, target = (proxy.tokens(text, pool.resources) for text in (pool.candidates, pool.target))
        stream = shuffled_rows(candidates.ids, self.seed, "short run of LQS")
        batches = np.resize(stream, (self.num_steps, self.batch_documents))
        return AnnotationJob(
            proxy, Tokens(candidates.folder), Tokens(target.folder), batches, rows, pool.rows,
            self.context_tokens, self._settings(runtime), runtime.torch_device(),
        )  # fmt: skip

    def _settings(self, runtime: Runtime) -> AnnotationSettings:
        gradient_samples = max(1, runtime.tokens_per_pass() // self.context_tokens)
        return AnnotationSettings(
            lr=self.lr, interval=self.interval, init_norm=self.init_norm, gradient_samples=gradient_samples,
            hvp_samples=max(1, gradient_samples // 4), precision=self.precision,
        )  # fmt: skip

    def _target_rows(self, pool: Pool) -> NDArray[np.intp]:
        if pool.target is None:
            raise ConfigError(f"scorer={self.score_name} needs a target set; choose target_dataset=...")
        ids, count, key = pool.target.corpus.ids, self.num_target, "scorer.num_target"
        return target_rows(ids, count, self.seed, "target documents of LQS", key)
