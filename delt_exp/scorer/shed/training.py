"""Utilities of language models: what a model that was trained on a set of proxies makes of the target.

C proxies, M sets.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, Seed, settings
from delt_exp.config.identity import identity
from delt_exp.config.keys import moved, naming
from delt_exp.corpus.tokens import Tokens
from delt_exp.corpus.windows import Windowing, sum_over_windows, windows_of
from delt_exp.distributed.processes import share_threads
from delt_exp.encoder.base import Encoder
from delt_exp.files import digest, read_json, write_json
from delt_exp.mapping.workers import run_workers
from delt_exp.model.cost import ModelSize, PhaseCost, Sizes, forward_cost, training_cost
from delt_exp.model.hf import PretrainedNetwork
from delt_exp.model.recipe import Recipe
from delt_exp.model.token_loss import TokenLossJudge
from delt_exp.progress import track
from delt_exp.proxy.base import Proxy
from delt_exp.resources import Resources
from delt_exp.rows.draws import seed_for, shuffled_rows, target_rows
from delt_exp.runtime import Runtime
from delt_exp.scorer.base import Pool
from delt_exp.scorer.shed.game import Floats, Sets
from delt_exp.store.store import Store, stage_key
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.trainer.divergence import DivergedError
from delt_exp.trainer.job import TrainJob, plan_for
from delt_exp.trainer.plan import PlanSettings
from delt_exp.trainer.settings import TrainerSettings
from delt_exp.trainer.train import train, training_inputs

FILE = "loss.json"
FORMAT = 1  # bump when the same training run gives another number


@dataclass(frozen=True, eq=False)
class TrainingWorth:
    """-loss [nats/token] on target documents of a model that was trained on a set; of nothing, of the untrained one.

    Everything but the documents is the same in all training runs, the seed too, so that most of the noise cancels in
    differences. Each training run is a stage of its own, which leaves one number; other runs reuse it. Plain values and
    folders, so that it travels to other processes.
    """

    recipe: Recipe
    tokens: Tokens
    rows_C: NDArray[np.intp]
    target: Tokens
    target_rows: NDArray[np.intp]
    tokenizer: Tokenizer
    trainer: TrainerSettings
    runtime: Runtime
    train_tokens: int
    seed: int
    store_root: Path
    verify: Any
    shared: Path

    def of(self, sets_MC: Sets) -> Floats:
        store = Store(self.store_root, self.verify)
        self.shared.mkdir(parents=True, exist_ok=True)
        todo = [place for place, one in enumerate(sets_MC) if not self._path(store, one).exists()]
        if self.trainer.world_size > 1 and len(todo) > 1:
            share = TrainingShare(self, sets_MC[todo])
            run_workers(train_share, share, self.shared, self.trainer, len(todo), lambda: None)
        with track("valuation", len(sets_MC), "training runs") as task:
            found = []
            for one in sets_MC:
                found.append(self.loss(store, one))
                task.advance(1)
        return -np.array(found)

    def loss(self, store: Store, members_C: NDArray[np.bool_]) -> float:
        """Return the loss after training on a set, NaN where training diverged."""
        try:
            use = store.get("utility", self._inputs(members_C), lambda to: self._build(members_C, to), resumable=True)
        except DivergedError:
            return float("nan")
        return float(read_json(use.path / FILE)["loss"])

    def _path(self, store: Store, members_C: NDArray[np.bool_]) -> Path:
        return store.root / "utility" / stage_key("utility", self._inputs(members_C))

    def _inputs(self, members_C: NDArray[np.bool_]) -> dict[str, Any]:
        job = self._job(members_C)
        made = {"recipe": identity(self.recipe), "seed": self.seed, "tokenizer": self.tokenizer.digest}
        return {
            "format": FORMAT,
            "training": made if job is None else training_inputs(job),
            "target": self.target.digest,
            "target_rows": digest(np.ascontiguousarray(self.target_rows, np.int64)),
        }

    def _job(self, members_C: NDArray[np.bool_]) -> TrainJob | None:
        """Return the training run on a set, None for that of nothing."""
        rows = self.rows_C[members_C]
        if not len(rows):
            return None
        # The order of two documents is the same in all sets.
        order = rows[shuffled_rows(self.tokens.ids[rows], self.seed, "documents of a set of proxies")]
        until = PlanSettings(layout="packed", epochs=None, max_tokens=self.train_tokens, completion_only=False)
        with naming(moved(Recipe, "model", "scorer.utility.recipe") | {"training.max_tokens": "scorer.utility.train_tokens"}):
            plan = plan_for(self.recipe, self.tokens, order, until)
        alone = replace(self.trainer, strategy="single", devices=1, num_nodes=1, jobs_dir=None)
        return TrainJob(self.recipe, plan, self.tokenizer, alone, self.seed)

    def _build(self, members_C: NDArray[np.bool_], folder: Path) -> None:
        job, inner = self._job(members_C), folder / "training"
        if job is None:
            network = self.recipe.make_network(self.tokenizer, self.seed).eval()
        else:
            from delt_exp.pretrained.loading import load_causal_lm

            inner.mkdir(exist_ok=True)
            train(job, inner)
            network = load_causal_lm(inner / "model")
        write_json(folder / FILE, {"loss": self._loss_of(network)})
        shutil.rmtree(inner, ignore_errors=True)

    def _loss_of(self, network: Any) -> float:
        context = self.recipe.context_tokens
        judge = TokenLossJudge("", None, context)
        windows = windows_of(self.target, self.target_rows, Windowing(TokenLossJudge.READS, context))
        reading = judge.reading(network.to(self.runtime.torch_device()))
        sums_D1 = sum_over_windows(reading, windows, context, self.runtime.tokens_per_pass())
        return float(sums_D1.sum() / self.target.num_predicted[self.target_rows].sum())


@dataclass(frozen=True, eq=False)
class TrainingShare:
    """Sets of which several processes train a share each."""

    worth: TrainingWorth
    sets_MC: Sets


def train_share(share: TrainingShare) -> None:
    """Train on every `WORLD_SIZE`-th set, from that of this rank; what a killed worker leaves out, its caller does."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    share_threads(int(os.environ["LOCAL_WORLD_SIZE"]))
    store = Store(share.worth.store_root, share.worth.verify)
    with _alone(uses_gpu=share.worth.trainer.accelerator != "cpu"):
        for one in share.sets_MC[rank::size]:
            share.worth.loss(store, one)


@contextmanager
def _alone(*, uses_gpu: bool) -> Iterator[None]:
    """Let this worker train by itself: Lightning would take its rank for one of a group, and every worker the first GPU."""
    before = dict(os.environ)
    local = int(os.environ["LOCAL_RANK"])
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        os.environ.pop(name, None)
    if uses_gpu:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[local] if local < len(visible) and visible[local] else str(local)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@settings
class RetrainUtility:
    """-loss on the target of a fresh model that `recipe` trains on the proxies, repeated until `train_tokens`.

    num_target: random target documents that the loss is measured on; null for all. One seed serves all training runs.
    """

    VERSION: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset({"target", "tokens"})
    words: ClassVar[str] = "a small model that is trained from its start (-loss on the target)"
    recipe: Recipe
    train_tokens: Count
    num_target: Count | None
    seed: Seed

    def check(self) -> None:
        """Accept all settings."""

    def open(self, pool: Pool, proxies_C: NDArray[np.intp], encoder: Encoder) -> TrainingWorth:
        assert pool.target is not None
        tokens, target = pool.candidates.tokens, pool.target.tokens
        return _worth(self, self.recipe, pool, proxies_C, tokens, target, pool.resources.run_tokenizer)

    def forecast(self, sizes: Sizes, resources: Resources, num_sets: int) -> list[PhaseCost]:
        """Return the cost of all training runs and of reading the target after each."""
        size = model_size(self.recipe.network.transformers_config(sizes.vocabulary), self.recipe.context_tokens)
        return _costs(self, self.recipe, size, sizes, resources, num_sets)


@settings
class FinetuneUtility:
    """-loss on the target of `proxy`, trained further on the proxies by `recipe`, repeated until `train_tokens`.

    The network of the recipe is replaced by that of the proxy, whose tokenizer it takes. num_target: as in
    `RetrainUtility`.
    """

    VERSION: ClassVar[int] = 1
    words: ClassVar[str] = "a model that is trained further (-loss on the target)"
    proxy: Proxy
    recipe: Recipe
    train_tokens: Count
    num_target: Count | None
    seed: Seed

    @property
    def needs(self) -> frozenset[str]:
        return self.proxy.needs | {"target", "tokens"}

    def check(self) -> None:
        """Accept all settings."""

    def open(self, pool: Pool, proxies_C: NDArray[np.intp], encoder: Encoder) -> TrainingWorth:
        assert pool.target is not None
        with pool.evidence.phase("warm start"):
            model = self.proxy.prepare(pool.resources, pool.candidates, pool.target)
        model.check_context(self.recipe.context_tokens, "scorer.utility.recipe.context_tokens")
        recipe = replace(self.recipe, network=PretrainedNetwork(model.name, model.revision))
        tokens, target = (model.tokens(text, pool.resources) for text in (pool.candidates, pool.target))
        return _worth(self, recipe, pool, proxies_C, tokens, target, model.tokenizer)

    def forecast(self, sizes: Sizes, resources: Resources, num_sets: int) -> list[PhaseCost]:
        """Return the cost of the proxy, of all training runs and of reading the target after each."""
        size = self.proxy.size(sizes, resources, self.recipe.context_tokens)
        return [
            *self.proxy.forecast(sizes, resources),
            *_costs(self, self.recipe, size, sizes, resources, num_sets),
        ]


def _worth(
    utility: RetrainUtility | FinetuneUtility, recipe: Recipe, pool: Pool, rows_C: NDArray[np.intp], tokens: Tokens,
    target: Tokens, tokenizer: Tokenizer,
) -> TrainingWorth:  # fmt: skip
    resources, ids = pool.resources, target.ids
    chosen = target_rows(ids, utility.num_target, utility.seed, "target documents of a utility", "scorer.utility.num_target")
    seed = seed_for(utility.seed, "training on sets of proxies")
    return TrainingWorth(
        recipe, tokens, rows_C, target, chosen, tokenizer, resources.trainer, resources.runtime, utility.train_tokens,
        seed, resources.store.root, resources.store.verify, pool.work_dir / "training",
    )  # fmt: skip


def _costs(
    utility: RetrainUtility | FinetuneUtility, recipe: Recipe, size: ModelSize, sizes: Sizes, resources: Resources,
    num_sets: int,
) -> list[PhaseCost]:  # fmt: skip
    """Return the cost of training runs and of reading the target, whose documents count as long as the candidates."""
    context = recipe.context_tokens
    held = min(recipe.batch_items, resources.trainer.micro_batch_items) * context
    num_target = min(sizes.num_target, utility.num_target or sizes.num_target)
    read = int(num_target * sizes.lengths_N.mean()) if len(sizes.lengths_N) else 0
    per_pass = resources.runtime.tokens_per_pass()
    return [
        training_cost("valuation: training", size, num_sets * utility.train_tokens, context, held),
        forward_cost("valuation: target", size, num_sets * num_target, num_sets * read, per_pass),
    ]
