"""Data Value Embedding: what each document did for the target, at the updates that used it (arXiv 2412.09538)."""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, PositiveFloat, Seed, settings
from delt_exp.config.identity import identity
from delt_exp.corpus.tokens import TokenizedCorpus, Tokens
from delt_exp.errors import ConfigError
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.proxy.base import Proxy, ProxyModel
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import shuffled_rows, target_rows
from delt_exp.runtime import Runtime
from delt_exp.scorer.base import Pool
from delt_exp.scorer.dvemb.cost import Workload, forecast
from delt_exp.scorer.dvemb.settings import Curvature, Groups, Precision, ValueSettings

if TYPE_CHECKING:
    from delt_exp.scorer.dvemb.job import ValueJob


@settings
class DvembScorer:
    """Values every candidate along a run of plain gradient descent over all of them.

    proxy: the model that the run starts from. epochs: how often the run goes over the candidates, in another random
    order each time, so that every document is valued; batch_documents: about how many an update has. lr: the learning
    rate, which is constant. curvature: what stands for the Hessian of an update's loss: `hessian` itself,
    `gauss_newton`, `fisher` (of whole documents, the paper) or `none`. groups: whether the documents of each source of
    the target have a value of their own in the evidence, at the cost of one sweep each, or are `one`; the score is the
    mean over the target either way. num_target: random target documents, null for all. context_tokens: how much of a
    document is read. precision: of the forward pass.
    """

    VERSION: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset({"target", "tokens"})
    proxy: Proxy
    epochs: Count
    batch_documents: Count
    lr: PositiveFloat
    curvature: Curvature
    groups: Groups
    num_target: Count | None
    context_tokens: Count
    precision: Precision
    seed: Seed

    @property
    def meaning(self) -> Meaning:
        return Meaning(
            "data value", "nats", "higher",
            "By how much the loss on the target would be higher at the end of a run without the document's steps.",
        )  # fmt: skip

    def score(self, pool: Pool) -> NDArray[np.float32]:
        import torch

        from delt_exp.scorer.dvemb.evidence import show_values
        from delt_exp.scorer.dvemb.job import values_stage

        if pool.target is None:
            raise ConfigError("scorer=dvemb needs a target set; choose target_dataset=...")
        groups = self._target_groups(pool.target)
        with pool.evidence.phase("warm start"):
            proxy = self.proxy.prepare(pool.resources, pool.candidates, pool.target)
        job, resources = self._job(pool, proxy, groups), pool.resources
        values, cost = values_stage(resources.store, self._inputs(pool), job, resources.trainer)
        pool.evidence.charge("values", cost)
        sizes = np.array([len(rows) for rows in job.target_groups])
        weight_G = torch.from_numpy(sizes / sizes.sum())
        show_values(pool.evidence, values, pool.candidates.corpus.ids, self._group_names(pool.target), weight_G)
        scores: NDArray[np.float32] = values.of_documents(len(pool.candidates), weight_G).float().numpy()
        return scores[pool.rows]

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return what every phase will cost; a document counts with all `context_tokens`."""
        from delt_exp.scorer.reverse.trajectory import fits_whole

        size, settings = self.proxy.size(sizes, resources, self.context_tokens), self._settings(resources.runtime)
        num_steps, num_documents = self.epochs * self._updates_per_epoch(len(sizes.lengths_N)), len(sizes.lengths_N)
        work = Workload(
            self.curvature, num_steps, self.epochs * num_documents, self.num_target or sizes.num_target,
            sizes.num_target_sources if self.groups == "source" else 1, settings.gradient_samples, self.context_tokens,
            fits_whole(num_steps, size.parameter_bytes, resources.trainer.devices),
        )  # fmt: skip
        return [*self.proxy.forecast(sizes, resources), *forecast(work, size)]

    def _inputs(self, pool: Pool) -> dict[str, Any]:
        """Return what decides the values, but not how their computation is spread."""
        assert pool.target is not None
        parts = {"candidates": pool.candidates, "target": pool.target}
        return {
            "valuation": identity(self),
            "precision": pool.resources.trainer.resolved_precision(),
            **{name: [part.corpus.digest, part.tokens.digest] for name, part in parts.items()},
        }

    def _job(self, pool: Pool, proxy: ProxyModel, groups: list[NDArray[np.intp]]) -> "ValueJob":
        from delt_exp.scorer.dvemb.job import ShortTraining, ValueJob

        assert pool.target is not None
        runtime = pool.resources.runtime
        candidates, target = (proxy.tokens(text, pool.resources) for text in (pool.candidates, pool.target))
        epochs = [shuffled_rows(candidates.ids, self.seed, "epoch of data values", n) for n in range(self.epochs)]
        # Nearly equal parts: a short last batch would count its few documents for many.
        batches = [batch for rows in epochs for batch in np.array_split(rows, self._updates_per_epoch(len(candidates)))]
        training = ShortTraining(proxy, Tokens(candidates.folder), batches, self.context_tokens, self.lr)
        return ValueJob(
            training, Tokens(target.folder), groups, self.context_tokens, self._settings(runtime),
            runtime.torch_device(),
        )  # fmt: skip

    def _updates_per_epoch(self, num_documents: int) -> int:
        return -(-num_documents // self.batch_documents)

    def _settings(self, runtime: Runtime) -> ValueSettings:
        gradient_samples = max(1, runtime.tokens_per_pass() // self.context_tokens)
        return ValueSettings(
            curvature=self.curvature, cure=f"lower scorer.lr ({self.lr:g})", gradient_samples=gradient_samples,
            hvp_samples=max(1, gradient_samples // 4), precision=self.precision,
        )  # fmt: skip

    def _group_names(self, target: TokenizedCorpus | None) -> list[str]:
        return list(target.corpus.meta["sources"]) if target is not None and self.groups == "source" else ["target"]

    def _target_groups(self, target: TokenizedCorpus) -> list[NDArray[np.intp]]:
        ids, count, key = target.corpus.ids, self.num_target, "scorer.num_target"
        rows = target_rows(ids, count, self.seed, "target documents of data values", key)
        if self.groups == "one":
            return [rows]
        codes, names = target.corpus.source_codes[rows], self._group_names(target)
        groups = [rows[codes == code] for code in range(len(names))]
        empty = next((name for name, group in zip(names, groups, strict=True) if not len(group)), None)
        if empty is not None:
            raise ConfigError(
                f"none of the {len(rows)} target documents comes from {empty!r}; raise {key} (null: all) or use "
                "scorer.groups=one"
            )
        return groups
