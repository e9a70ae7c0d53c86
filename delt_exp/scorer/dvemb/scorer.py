"""Data Value Embedding: what each document did for the target, at the updates that used it (arXiv 2412.09538)."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, Seed, Several, settings
from delt_exp.config.identity import identity
from delt_exp.corpus.tokens import TokenizedCorpus, Tokens
from delt_exp.errors import ConfigError
from delt_exp.gradients.precision import Precision
from delt_exp.model.cost import PhaseCost, Sizes, model_size
from delt_exp.model.objective import CrossEntropy
from delt_exp.model.optimizer import SGD, AdamW, Optimizer
from delt_exp.model.recipe import Recipe
from delt_exp.orderer.shuffle import shuffle
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import target_rows
from delt_exp.runtime import Runtime
from delt_exp.scorer.base import Pool
from delt_exp.scorer.dvemb.cost import forecast, workload
from delt_exp.scorer.dvemb.settings import Adam, Curvature, Groups, ValueSettings
from delt_exp.trainer.job import TrainJob, plan_for
from delt_exp.trainer.plan import Plan
from delt_exp.trainer.planning import PlanSettings

if TYPE_CHECKING:
    import torch

    from delt_exp.gradients.projection import Projection
    from delt_exp.scorer.dvemb.job import ValueJob


@settings
class DvembScorer:
    """Values every candidate along the run's own training on all of them, in random order.

    recipe, training: of the run: network with its initial weights, schedule, clipping, sequences and batches.
    optimizer: in place of that of the recipe; null is that of the recipe. SGD is exact with momentum, decay and
    clipping. adam: where it is AdamW, `refuse`; `exact`, the derivative through its steps; or `fixed`, its
    preconditioner held fixed.
    curvature: what stands for the Hessian of an update's loss: `hessian` itself, `gauss_newton`, `fisher` (of whole
    documents, the paper) or `none`. groups: whether the documents of each source of the target have a value of their
    own in the evidence, at the cost of one sweep each, or are `one`; the score is the mean over the target either way.
    num_target: random target documents, null for all. precision: of the forward pass. save_embeddings: keep
    `num_features` numbers of each occurrence, for targets of later. seed: of initial weights and order, as of the run.
    """

    VERSION: ClassVar[int] = 3
    needs: ClassVar[frozenset[str]] = frozenset({"target", "tokens"})
    recipe: Recipe
    training: PlanSettings
    optimizer: Optimizer | None
    adam: Adam
    curvature: Curvature
    groups: Groups
    num_target: Count | None
    precision: Precision
    save_embeddings: bool
    num_features: Several
    seed: Seed

    def __post_init__(self) -> None:
        if not isinstance(self.recipe.objective, CrossEntropy):
            raise ConfigError(
                f"model.objective is {type(self.recipe.objective).__name__}, and data values are of runs that learn to "
                "predict tokens; use objective@model.objective=cross_entropy, or another scorer"
            )
        self._check_optimizer()

    @property
    def valued_recipe(self) -> Recipe:
        """How the valued run is trained."""
        return self.recipe if self.optimizer is None else replace(self.recipe, optimizer=self.optimizer)

    @property
    def meaning(self) -> Meaning:
        return Meaning(
            "data value", "nats", "higher",
            "By how much the loss on the target would be higher at the end of a run without the document's steps.",
        )  # fmt: skip

    def score(self, pool: Pool) -> NDArray[np.float32]:
        from delt_exp.scorer.dvemb.evidence import show_values
        from delt_exp.scorer.dvemb.job import values_stage

        job, resources = self._job(pool), pool.resources
        values, cost = values_stage(resources.store, self._inputs(pool), job, resources.trainer)
        pool.evidence.charge("values", cost)
        if self.save_embeddings:
            from delt_exp.scorer.dvemb.capture import capture_stage

            use = capture_stage(resources.store, self._run_inputs(pool), job, self._projection(), resources.trainer)
            pool.evidence.charge("embeddings", use.cost)
        names, weight_G = self._group_names(pool.target), self._group_weights(job)
        show_values(pool.evidence, values, pool.candidates.corpus.ids, names, weight_G, job.settings.cure)
        return self._scores(pool, values.of_documents(len(pool.candidates), weight_G))

    def rescore(self, pool: Pool) -> NDArray[np.float32]:
        """Return scores [R] estimated from stored embeddings, without a pass over the corpus.

        Raises ConfigError where nothing is stored.
        """
        from delt_exp.scorer.dvemb.evidence import show_groups
        from delt_exp.scorer.dvemb.later import estimated
        from delt_exp.scorer.dvemb.values import sum_of_occurrences

        job = self._job(pool)
        values_NG, rows_N = estimated(pool.resources.store, self._run_inputs(pool), job, self._projection())
        value_DG = sum_of_occurrences(values_NG, rows_N, len(pool.candidates))
        sizes = [len(rows) for rows in job.target_groups]
        show_groups(pool.evidence, value_DG.numpy(), dict(zip(self._group_names(pool.target), sizes, strict=True)))
        return self._scores(pool, value_DG @ self._group_weights(job))

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return what every phase will cost."""
        from delt_exp.scorer.reverse.trajectory import fits_whole

        size = model_size(self.recipe.network.transformers_config(sizes.vocabulary), self.recipe.context_tokens)
        settings, num_groups = (
            self._settings(resources.runtime),
            sizes.num_target_sources if self.groups == "source" else 1,
        )
        target, kept = (self.num_target or sizes.num_target, num_groups), self.num_features * self.save_embeddings
        work = workload(self.valued_recipe, self.training, settings, sizes, target, kept)
        num_states = work.num_steps * (1 + work.num_buffers)
        return forecast(work, size, fits_whole(num_states, size.parameter_bytes, resources.trainer.devices))

    def _check_optimizer(self) -> None:
        optimizer, key = (
            self.valued_recipe.optimizer,
            "model.optimizer" if self.optimizer is None else "scorer.optimizer",
        )
        name, plain = type(optimizer).__name__, "optimizer@scorer.optimizer=sgd scorer.optimizer.lr=0.03"
        if not isinstance(optimizer, SGD | AdamW):
            raise ConfigError(f"{key} is {name}, through which data values are not known; use {plain}")
        if isinstance(optimizer, AdamW) and self.adam == "refuse":
            raise ConfigError(
                f"{key} is AdamW, whose steps are too far from linear for values to be trusted unseen; choose "
                f"scorer.adam=exact, the derivative through its steps, scorer.adam=fixed, an approximation that holds "
                f"its preconditioner fixed, or plain gradient descent in its place: {plain}"
            )
        is_plain = isinstance(optimizer, SGD) and not optimizer.momentum and not optimizer.weight_decay
        if self.save_embeddings and not is_plain:
            raise ConfigError(
                "scorer.save_embeddings=true follows the recursion of the paper, which is one of plain gradient "
                f"descent, and {key} is {name} with a momentum, decay or preconditioner; use {plain}, or "
                "scorer.save_embeddings=false"
            )

    def _inputs(self, pool: Pool) -> dict[str, Any]:
        """Return what decides the values, but not how their computation is spread."""
        assert pool.target is not None
        left_out = ("save_embeddings", "num_features")
        valuation = {key: value for key, value in identity(self).items() if key not in left_out}
        target = [pool.target.corpus.digest, pool.target.tokens.digest]
        return {**self._run_inputs(pool), "valuation": valuation, "law": None, "target": target}

    def _run_inputs(self, pool: Pool) -> dict[str, Any]:
        """Return what decides the run and its embeddings: no target, so that those of one run serve another."""
        from delt_exp.gradients.projection import Projection

        return {
            "recipe": identity(self.valued_recipe),
            "training": identity(self.training),
            "precision": self.precision,
            "seed": self.seed,
            "law": [Projection.LAW, Projection.VERSION, self.num_features],
            "candidates": [pool.candidates.corpus.digest, pool.candidates.tokens.digest],
        }

    def _projection(self) -> "Projection":
        from delt_exp.gradients.projection import Projection

        return Projection(self.num_features, self.seed)

    def _job(self, pool: Pool) -> "ValueJob":
        from delt_exp.scorer.dvemb.job import ValueJob

        if pool.target is None:
            raise ConfigError("scorer=dvemb needs a target set; choose target_dataset=...")
        groups, resources = self._target_groups(pool.target), pool.resources
        tokenizer, recipe = resources.run_tokenizer, self.valued_recipe
        training = TrainJob(recipe, self._plan(pool), tokenizer, resources.trainer, self.seed)
        runtime = resources.runtime
        target, device = Tokens(pool.target.tokens.folder), runtime.torch_device()
        return ValueJob(training, target, groups, self._settings(runtime), device, self.adam == "fixed")

    def _plan(self, pool: Pool) -> Plan:
        """Return what the run trains where it keeps all candidates and shuffles them."""
        everyone = pool.candidates.corpus.candidates(np.zeros(len(pool.candidates), np.float32))
        plan = plan_for(self.recipe, pool.candidates.tokens, shuffle(everyone, seed=self.seed), self.training)
        self.recipe.schedule.check(plan.num_steps)
        return plan

    def _settings(self, runtime: Runtime) -> ValueSettings:
        optimizer, key = self.valued_recipe.optimizer, "model" if self.optimizer is None else "scorer"
        gradient_samples = max(1, runtime.tokens_per_pass() // self.recipe.context_tokens)
        return ValueSettings(
            curvature=self.curvature, cure=f"lower {key}.optimizer.lr ({optimizer.lr:g})",
            gradient_samples=gradient_samples, hvp_samples=max(1, gradient_samples // 4), precision=self.precision,
        )  # fmt: skip

    def _scores(self, pool: Pool, value_D: "torch.Tensor") -> NDArray[np.float32]:
        scores: NDArray[np.float32] = value_D.float().numpy()
        return scores[pool.rows]

    def _group_names(self, target: TokenizedCorpus | None) -> list[str]:
        return list(target.corpus.meta["sources"]) if target is not None and self.groups == "source" else ["target"]

    def _group_weights(self, job: "ValueJob") -> "torch.Tensor":
        import torch

        sizes = torch.tensor([len(rows) for rows in job.target_groups], dtype=torch.float64)
        return sizes / sizes.sum()

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
