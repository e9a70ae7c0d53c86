"""A costly score for a whole corpus: some documents are annotated exactly, a regression model scores all of them."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, Seed, settings
from delt_exp.config.keys import moved, naming
from delt_exp.data_scorer.base import DataScorer
from delt_exp.data_scorer.evidence import is_complete, show_fit
from delt_exp.errors import ConfigError
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.proxy.base import Proxy
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import random_rows
from delt_exp.scorer.base import Floats, Forecasting, Pool, Scorer
from delt_exp.scorer.parts import check_part


@settings
class DistilledScorer:
    """Lets `base` score `num_annotated` random candidates, and `data_scorer` learn from them to score the others.

    Annotate-then-regress as in DELT (arXiv 2506.21545). What was annotated is scored by the data scorer too, so that
    all scores are of one kind. proxy: the model that the data scorer starts from, best the one that `base` looks with.
    num_annotated: null lets `base` score every document, without a data scorer. seed: of the draw.
    """

    VERSION: ClassVar[int] = 1
    base: Scorer
    data_scorer: DataScorer | None
    proxy: Proxy
    num_annotated: Count | None
    seed: Seed

    def __post_init__(self) -> None:
        if (self.num_annotated is None) != (self.data_scorer is None):
            raise ConfigError(
                "scorer.num_annotated=null annotates every document and needs scorer.data_scorer=null; a number of "
                f"documents needs a data scorer: got {self.num_annotated} and {type(self.data_scorer).__name__}"
            )

    @property
    def needs(self) -> frozenset[str]:
        return self.base.needs if self.data_scorer is None else self.base.needs | self.proxy.needs | {"tokens"}

    @property
    def meaning(self) -> Meaning:
        return self.base.meaning

    def score(self, pool: Pool) -> NDArray[np.float32]:
        inner = replace(pool, work_dir=pool.work_dir / "base")
        inner.work_dir.mkdir(parents=True, exist_ok=True)
        if self.data_scorer is None or self.num_annotated is None:
            return self._base_scores(inner).astype(np.float32)
        rows = self._annotated_rows(pool, self.num_annotated)
        with pool.evidence.phase("warm start"):
            proxy = self.proxy.prepare(pool.resources, pool.candidates, pool.target)
        self.data_scorer.check(proxy, len(rows))
        labels = self._base_scores(replace(inner, chosen=rows))
        folder, tokens = pool.work_dir / "data_scorer", proxy.tokens(pool.candidates, pool.resources)
        if not is_complete(folder):
            with pool.evidence.phase("data scorer"):
                runtime, precision = pool.resources.runtime, pool.resources.trainer.resolved_precision()
                self.data_scorer.fit(proxy, tokens, rows, labels, folder, runtime, precision)
        show_fit(folder, pool.evidence, self.meaning.name)
        with pool.evidence.phase("inference"):
            scores = self.data_scorer.load(folder).predict(pool.resources, tokens, pool.work_dir / "shards")
        return scores[pool.rows]

    def check_files(self) -> None:
        check_part("scorer.base", self.base)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of `base` on `num_annotated` documents, of the proxy, of fitting and of inference."""
        annotated = replace(sizes, num_scored=self.num_annotated)
        costs = self.base.forecast(annotated, resources) if isinstance(self.base, Forecasting) else []
        if self.data_scorer is None or self.num_annotated is None:
            return costs
        # A proxy that `base` uses too is one stage and paid once.
        warm_start = [cost for cost in self.proxy.forecast(sizes, resources) if cost not in costs]
        per_pass = resources.runtime.tokens_per_pass()
        size = self.proxy.size(sizes, resources, per_pass)
        return [*warm_start, *costs, *self.data_scorer.forecast(size, sizes, self.num_annotated, per_pass)]

    def _base_scores(self, pool: Pool) -> Floats:
        with naming(moved(self.base, "scorer", "scorer.base")):
            return self.base.score(pool)

    def _annotated_rows(self, pool: Pool, count: int) -> NDArray[np.intp]:
        ids = pool.candidates.corpus.ids
        if count > len(ids):
            raise ConfigError(
                f"scorer.num_annotated={count} is more than the {len(ids)} documents there are; use a smaller number, "
                "or null with scorer.data_scorer=null"
            )
        return random_rows(ids, count, self.seed, "annotated documents of LQS")  # of any base: this name fixes the draw
