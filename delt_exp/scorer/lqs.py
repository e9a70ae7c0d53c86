"""Learnability-Quality Scoring and its relatives: what a document's gradient does for the target, along a training run.

A sample of the candidates is annotated exactly (`delt_exp.lqs`); a regression model learns the annotations and scores
the corpus (`delt_exp.data_scorer`). Sources: DELT (arXiv 2506.21545), PDS (arXiv 2410.07064).
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.checks import check_integer
from delt_exp.data_scorer.settings import DataScorer
from delt_exp.draws import uniform_per_id
from delt_exp.errors import ConfigError
from delt_exp.files import write_json
from delt_exp.lqs.settings import AnnotationSettings
from delt_exp.progress import say
from delt_exp.proxy.base import Proxy, ProxyModel
from delt_exp.runtime import PeakMemory, Runtime
from delt_exp.scorer.base import Pool
from delt_exp.scorer.table import Meaning
from delt_exp.tokens import Tokens

NAMES = {
    "lqs": ("learnability-quality", "How well the gradient of a document serves the target, more so if it is learnt."),
    "pds": ("PDS", "How well the gradient of a document serves the target for the rest of a training run."),
    "learnability": ("learnability", "How much the gradient of a document shrinks while a model trains."),
    "quality": ("quality", "The cosine between the gradient of a document and what the target asks for."),
}


@dataclass(frozen=True)
class LqsScorer:
    """Annotates `num_proxies` random candidates (null: all of them) and lets `data_scorer` score the corpus.

    score_name: `lqs`, `pds`, `learnability` or `quality`. warm_start: the model the short run starts from. num_steps
    (T): updates of plain gradient descent on `batch_documents` random candidates each, all once before any twice (the
    paper takes them in corpus order). lr, interval, init_norm, precision: see `AnnotationSettings`. num_target: random
    target documents, null for all. context_tokens: how much of a document its gradient sees.
    """

    VERSION: ClassVar[int] = 1
    READS_TARGET: ClassVar[bool] = True
    READS_TOKENS: ClassVar[bool] = True
    score_name: str
    warm_start: Proxy
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
        self._settings(1)
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

    def score(self, pool: Pool, runtime: Runtime) -> NDArray[np.float32]:
        phases: dict[str, Any] = {}
        with _timed(phases, "warm start"):
            proxy = self.warm_start.prepare(pool, runtime)
        rows = self._proxy_rows(pool.candidates.corpus.ids)
        with _timed(phases, "annotation"):
            labels = self._annotate(pool, proxy, rows, runtime, phases)
        if self.data_scorer is None:
            write_json(pool.evidence_dir / "phases.json", phases)
            return labels.astype(np.float32)
        return self._distil(self.data_scorer, pool, proxy, rows, labels, runtime, phases)

    def _annotate(
        self, pool: Pool, proxy: ProxyModel, rows: NDArray[np.intp], runtime: Runtime, phases: dict[str, Any]
    ) -> NDArray[np.float64]:
        from delt_exp.lqs.documents import num_beyond
        from delt_exp.lqs.processes import AnnotationJob, run_annotation

        target = proxy.target
        if target is None:
            raise ConfigError(f"scorer={self.score_name} needs a target set; choose target_dataset=...")
        stream = np.argsort(uniform_per_id(proxy.candidates.ids, self.seed), kind="stable")
        batches = np.resize(stream, (self.num_steps, self.batch_documents))
        job = AnnotationJob(
            proxy.network, Tokens(proxy.candidates.folder), Tokens(target.folder), batches, self._target_rows(target),
            rows, self.context_tokens, self._settings(max(1, runtime.batch_tokens // self.context_tokens)),
            runtime.torch_device(),
        )  # fmt: skip
        beyond = num_beyond(proxy.candidates, rows, self.context_tokens)
        if beyond:
            say(f"{beyond} of {len(rows)} proxies are longer than {self.context_tokens} tokens: their beginning counts")
        annotation = run_annotation(job, pool.work_dir, pool.trainer.devices)
        phases["annotation"] |= {
            "proxies": len(rows), "longer_than_context": beyond, "trajectory": annotation.trajectory,
            "target_loss": annotation.target_loss_T.tolist(), "train_loss": annotation.train_loss_T.tolist(),
        }  # fmt: skip
        return np.asarray(annotation.scores_N.numpy())

    def _distil(
        self, data_scorer: DataScorer, pool: Pool, proxy: ProxyModel, rows: NDArray[np.intp],
        labels: NDArray[np.float64], runtime: Runtime, phases: dict[str, Any],
    ) -> NDArray[np.float32]:  # fmt: skip
        import shutil

        from delt_exp.data_scorer.fitted import FittedScorer
        from delt_exp.data_scorer.infer import predict

        folder = pool.work_dir / "data_scorer"
        with _timed(phases, "data scorer"):
            if not (folder / "fit.json").exists():
                data_scorer.fit(proxy, rows, labels, folder, runtime, pool.trainer.resolved_precision())
        with _timed(phases, "inference"):
            scores = predict(FittedScorer.load(folder), proxy.candidates, runtime, pool.work_dir / "shards")
        for name in ("fit.json", "fit.parquet"):
            shutil.copyfile(folder / name, pool.evidence_dir / name)
        write_json(pool.evidence_dir / "phases.json", phases)
        return scores

    def _settings(self, batch_samples: int) -> AnnotationSettings:
        return AnnotationSettings(
            score=self.score_name, lr=self.lr, interval=self.interval, init_norm=self.init_norm, trajectory="auto",
            gradient_samples=batch_samples, hvp_samples=max(1, batch_samples // 4), precision=self.precision,
        )  # fmt: skip

    def _proxy_rows(self, ids: NDArray[np.uint64]) -> NDArray[np.intp]:
        return _drawn(ids, len(ids) if self.num_proxies is None else self.num_proxies, self.seed, "scorer.num_proxies")

    def _target_rows(self, target: Tokens) -> NDArray[np.intp]:
        count = len(target) if self.num_target is None else self.num_target
        return _drawn(target.ids, count, self.seed, "scorer.num_target")


def _drawn(ids: NDArray[np.uint64], count: int, seed: int, name: str) -> NDArray[np.intp]:
    """Return `count` random rows in corpus order, a draw per id."""
    if count > len(ids):
        raise ConfigError(
            f"{name}={count} is more than the {len(ids)} documents there are; use a smaller number or null"
        )
    return np.sort(np.argsort(uniform_per_id(ids, seed), kind="stable")[:count])


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
