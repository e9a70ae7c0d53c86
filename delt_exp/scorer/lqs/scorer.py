"""Learnability-Quality Scoring and its relatives: what a document's gradient does for the target, along a training run.

A sample of the candidates is annotated exactly; a regression model learns the annotations and scores
the corpus (`delt_exp.data_scorer`). Sources: DELT (arXiv 2506.21545), PDS (arXiv 2410.07064).
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.checks import check_choice, check_integer
from delt_exp.config.identity import identity
from delt_exp.corpus.tokens import Tokens
from delt_exp.data_scorer.base import DataScorer
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import write_json, written_aside
from delt_exp.model.cost import PhaseCost
from delt_exp.progress import say
from delt_exp.proxy.base import Proxy, ProxyModel
from delt_exp.quantity import Meaning
from delt_exp.rows.draws import random_rows, shuffled_rows
from delt_exp.runtime import Runtime
from delt_exp.scorer.base import Pool
from delt_exp.scorer.lqs.cost import Workload, forecast
from delt_exp.scorer.lqs.settings import SCORES, AnnotationSettings
from delt_exp.store.memory import PeakMemory

if TYPE_CHECKING:
    from delt_exp.scorer.lqs.annotation import Annotation
    from delt_exp.scorer.lqs.job import AnnotationJob

NAMES = {
    "lqs": ("learnability-quality", "How well the gradient of a document serves the target, more so if it is learnt."),
    "pds": ("PDS", "How well the gradient of a document serves the target for the rest of a training run."),
    "learnability": ("learnability", "How much the gradient of a document shrinks while a model trains."),
    "quality": ("quality", "The cosine between the gradient of a document and what the target asks for."),
}


@dataclass(frozen=True)
class LqsScorer:
    """Annotates `num_proxies` random candidates (null: all of them) and lets `data_scorer` score the corpus.

    score_name: `lqs`, `pds`, `learnability` or `quality`. proxy: the model the short run starts from. num_steps
    (T): updates of plain gradient descent on `batch_documents` random candidates each, all once before any twice (the
    paper takes them in corpus order). lr, interval, init_norm, precision: see `AnnotationSettings`. num_target: random
    target documents, null for all. context_tokens: how much of a document its gradient sees.
    """

    VERSION: ClassVar[int] = 2
    READS_TARGET: ClassVar[bool] = True
    READS_TOKENS: ClassVar[bool] = True
    score_name: str
    proxy: Proxy
    num_steps: int
    batch_documents: int
    num_proxies: int | None
    num_target: int | None
    context_tokens: int
    lr: float
    interval: int
    init_norm: str
    precision: str
    seed: int
    data_scorer: DataScorer | None

    def __post_init__(self) -> None:
        check_choice("score", self.score_name, SCORES)
        self._settings(Runtime("cpu", 1))  # raises for what an annotation cannot be told
        for name in ("num_steps", "batch_documents", "context_tokens", "num_proxies", "num_target"):
            if getattr(self, name) is not None:
                check_integer(f"scorer.{name}", getattr(self, name), at_least=1)
        if (self.num_proxies is None) != (self.data_scorer is None):
            raise ConfigError(
                "scorer.num_proxies=null annotates every document and needs scorer.data_scorer=null; a number of "
                f"proxies needs a data scorer: got {self.num_proxies} and {type(self.data_scorer).__name__}"
            )

    @property
    def meaning(self) -> Meaning:
        name, explanation = NAMES[self.score_name]
        return Meaning(f"{name} score", "none", "higher", explanation)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        phases: dict[str, Any] = {}
        with _timed(phases, "warm start"):
            proxy = self.proxy.prepare(pool.resources, pool.candidates, pool.target)
        if self.data_scorer is not None:
            self.data_scorer.check(proxy)
        rows = self._proxy_rows(pool.candidates.corpus.ids)
        labels = self._annotate(pool, proxy, rows, phases)
        if self.data_scorer is None:
            scores = labels.astype(np.float32)
        else:
            scores = self._distil(self.data_scorer, pool, proxy, rows, labels, phases)
        _add_flops(phases, self.forecast(pool))
        write_json(pool.evidence_dir / "phases.json", phases)
        return scores

    def forecast(self, pool: Pool) -> list[PhaseCost]:
        """Return what every phase will cost, from sizes alone; a document counts with all `context_tokens`."""
        from delt_exp.scorer.lqs.annotate import fits_whole

        size, runtime = self.proxy.size(pool.resources, self.context_tokens), pool.resources.runtime
        num_candidates, settings = len(pool.candidates), self._settings(runtime)
        num_target = self.num_target or len(pool.target or [])
        is_whole = fits_whole(self.num_steps, size.parameter_bytes, pool.resources.trainer.devices)
        num_proxies, needs_norms = self.num_proxies or num_candidates, self.init_norm == "terminal"
        work = Workload(
            self.num_steps, self.interval, num_proxies, num_target, self.batch_documents, settings.gradient_samples,
            settings.hvp_samples, self.context_tokens, is_whole, needs_norms,
        )  # fmt: skip
        costs = [*self.proxy.forecast(pool.resources), *forecast(work, size)]
        if self.data_scorer is not None and self.num_proxies is not None:
            costs += self.data_scorer.forecast(
                size, pool.candidates.tokens, self.num_proxies, runtime.tokens_per_pass()
            )
        return costs

    def _annotate(
        self, pool: Pool, proxy: ProxyModel, rows: NDArray[np.intp], phases: dict[str, Any]
    ) -> NDArray[np.float64]:
        from delt_exp.scorer.lqs.documents import num_beyond
        from delt_exp.scorer.lqs.stage import annotation_stage

        job = self._job(pool, proxy, rows)
        beyond = num_beyond(job.candidates, rows, self.context_tokens)
        if beyond:
            size, many = self.context_tokens, f"{beyond} of {len(rows)} annotated documents"
            say(f"{many} are longer than {size} tokens; only {size} of each are scored")
        resources = pool.resources
        annotation, cost = annotation_stage(resources.store, self._inputs(pool), job, resources.trainer)
        phases["annotation"] = {
            "seconds": cost["build_seconds"], "peak_bytes": cost["peak_bytes"],
            "cuda_peak_bytes": cost["cuda_peak_bytes"], "proxies": len(rows), "longer_than_context": beyond,
            "trajectory": annotation.trajectory, "target_loss": annotation.target_loss_T.tolist(),
            "train_loss": annotation.train_loss_T.tolist(),
        }  # fmt: skip
        _write_annotated(pool.evidence_dir / "annotated.parquet", job.candidates.ids[rows], annotation)
        return np.asarray(annotation.scores(self.score_name).numpy())

    def _inputs(self, pool: Pool) -> dict[str, Any]:
        """Return what decides the annotation: everything but which score is made of it, and how it is spread."""
        assert pool.target is not None
        settings = {key: value for key, value in identity(self).items() if key not in ("score_name", "data_scorer")}
        parts = {"candidates": pool.candidates, "target": pool.target}
        digests = {name: [part.corpus.digest, part.tokens.digest] for name, part in parts.items()}
        return {"annotator": settings, "precision": pool.resources.trainer.resolved_precision(), **digests}

    def _job(self, pool: Pool, proxy: ProxyModel, rows: NDArray[np.intp]) -> "AnnotationJob":
        from delt_exp.scorer.lqs.job import AnnotationJob

        if pool.target is None:
            raise ConfigError(f"scorer={self.score_name} needs a target set; choose target_dataset=...")
        runtime = pool.resources.runtime
        candidates, target = (proxy.tokens(text, pool.resources) for text in (pool.candidates, pool.target))
        stream = shuffled_rows(candidates.ids, self.seed, "short run of LQS")
        batches = np.resize(stream, (self.num_steps, self.batch_documents))
        target_rows, settings = self._target_rows(target), self._settings(runtime)
        return AnnotationJob(
            proxy, Tokens(candidates.folder), Tokens(target.folder), batches, target_rows, rows,
            self.context_tokens, settings, runtime.torch_device(),
        )  # fmt: skip

    def _distil(
        self, data_scorer: DataScorer, pool: Pool, proxy: ProxyModel, rows: NDArray[np.intp],
        labels: NDArray[np.float64], phases: dict[str, Any],
    ) -> NDArray[np.float32]:  # fmt: skip
        resources = pool.resources
        tokens = proxy.tokens(pool.candidates, resources)
        folder, shards = pool.work_dir / "data_scorer", pool.work_dir / "shards"
        with _timed(phases, "data scorer"):
            if not (folder / "fit.json").exists():
                precision = resources.trainer.resolved_precision()
                data_scorer.fit(proxy, tokens, rows, labels, folder, resources.runtime, precision)
        with _timed(phases, "inference"):
            scores = data_scorer.load(folder).predict(resources, tokens, shards)
        for name in ("fit.json", "fit.parquet"):
            shutil.copyfile(folder / name, pool.evidence_dir / name)
        return scores

    def _settings(self, runtime: Runtime) -> AnnotationSettings:
        gradient_samples = max(1, runtime.tokens_per_pass() // self.context_tokens)
        return AnnotationSettings(
            lr=self.lr, interval=self.interval, init_norm=self.init_norm, trajectory="auto",
            gradient_samples=gradient_samples, hvp_samples=max(1, gradient_samples // 4), precision=self.precision,
        )  # fmt: skip

    def _proxy_rows(self, ids: NDArray[np.uint64]) -> NDArray[np.intp]:
        count = len(ids) if self.num_proxies is None else self.num_proxies
        _check_count("num_proxies", count, len(ids))
        return random_rows(ids, count, self.seed, "annotated documents of LQS")

    def _target_rows(self, target: Tokens) -> NDArray[np.intp]:
        count = len(target) if self.num_target is None else self.num_target
        _check_count("num_target", count, len(target))
        return random_rows(target.ids, count, self.seed, "target documents of LQS")


def _check_count(name: str, count: int, available: int) -> None:
    if count > available:
        raise ConfigError(
            f"scorer.{name}={count} is more than the {available} documents there are; use a smaller number or null"
        )


def _write_annotated(path: Path, ids: NDArray[np.uint64], annotation: "Annotation") -> None:
    """Write what the annotation says of every proxy under each of the four scores that are numbers for all of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"id": np.asarray(ids)}
    for score in SCORES:
        with suppress(DataError):  # that of the run itself is raised where it is used
            columns[score] = annotation.scores(score).numpy()
    with written_aside(path) as aside:
        pq.write_table(pa.table(columns), aside)


@contextmanager
def _timed(phases: dict[str, Any], name: str) -> Iterator[None]:
    """Add the seconds and peak memory of the block to `phases`."""
    started, peak = time.monotonic(), PeakMemory()
    phases[name] = {}
    with peak.measure():
        yield
    phases[name] |= {
        "seconds": time.monotonic() - started,
        "peak_bytes": peak.resident_bytes,
        "cuda_peak_bytes": peak.cuda_bytes,
    }


def _add_flops(phases: dict[str, Any], costs: list[PhaseCost]) -> None:
    """Add the estimated operations of each phase; costs are named `phase` or `phase: part`."""
    for name, phase in phases.items():
        phase["flops"] = sum(cost.flops for cost in costs if cost.phase.split(":")[0] == name)
