"""Training on sets of proxies: what is left of each training run is the loss of the model on the target.

C proxies, M sets.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.identity import identity
from delt_exp.config.keys import moved, naming
from delt_exp.corpus.tokens import Tokens
from delt_exp.corpus.windows import Windowing, sum_over_windows, windows_of
from delt_exp.distributed.processes import share_threads
from delt_exp.errors import DivergedError
from delt_exp.files import digest, read_json, write_json
from delt_exp.mapping.workers import run_workers
from delt_exp.model.recipe import Recipe
from delt_exp.model.token_loss import TokenLossJudge
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.progress import track
from delt_exp.rows.draws import shuffled_rows
from delt_exp.runtime import Runtime
from delt_exp.scorer.utility.game import Floats, Sets
from delt_exp.store.store import Store, stage_key
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.trainer.job import TrainJob, plan_for
from delt_exp.trainer.planning import PlanSettings
from delt_exp.trainer.settings import TrainerSettings
from delt_exp.trainer.stage import training_inputs
from delt_exp.trainer.train import train

STAGE = "utility"
FILE = "loss.json"
FORMAT = 1  # bump when the same training run gives another number


@dataclass(frozen=True, eq=False)
class Trainings:
    """Training runs that differ in their documents alone: one seed serves all, so that much of the noise cancels.

    rows_C: of the proxies in `tokens`. target_rows: of the documents in `target` that the loss [nats/token] is measured
    on. Plain values and folders, so that it travels to other processes.
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

    def is_known(self, store: Store, members_C: NDArray[np.bool_]) -> bool:
        """Whether the store has the loss of a set."""
        return (store.root / STAGE / stage_key(STAGE, self._inputs(members_C))).exists()

    def loss(self, store: Store, members_C: NDArray[np.bool_]) -> float:
        """Return the loss after training on a set, NaN where training diverged."""
        try:
            use = store.get(STAGE, self._inputs(members_C), lambda to: self._build(members_C, to), resumable=True)
        except DivergedError:
            return float("nan")
        return float(read_json(use.path / FILE)["loss"])

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
        keys = moved(Recipe, "model", "scorer.utility.recipe") | {"training.max_tokens": "scorer.utility.train_tokens"}
        with naming(keys):
            plan = plan_for(self.recipe, self.tokens, order, until)
        alone = replace(self.trainer, strategy="single", devices=1, num_nodes=1, jobs_dir=None)
        return TrainJob(self.recipe, plan, self.tokenizer, alone, self.seed)

    def _build(self, members_C: NDArray[np.bool_], folder: Path) -> None:
        job, inner = self._job(members_C), folder / "training"
        if job is None:
            network = self.recipe.make_network(self.tokenizer, self.seed).eval()
        else:
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
class TrainingWorth:
    """-loss after training on a set; of nothing, that of the network at its start.

    Each training run is a stage that other runs reuse. shared: a folder for the job of several processes.
    """

    trainings: Trainings
    store: Store
    shared: Path

    def of(self, sets_MC: Sets) -> Floats:
        """Return [M]; NaN where training diverged, and for all sets after one: it costs no further training run.

        On several processes where the trainer has some.
        """
        trainer, new = self.trainings.trainer, [one for one in sets_MC if not self.trainings.is_known(self.store, one)]
        if trainer.world_size > 1 and len(new) > 1:
            self.shared.mkdir(parents=True, exist_ok=True)
            share = TrainingShare(self.trainings, np.array(new), self.store.root, self.store.verify)
            run_workers(train_share, share, self.shared, trainer, len(new), lambda: None)
        worth_M = np.full(len(sets_MC), np.nan)
        with track("valuation", len(sets_MC), "training runs") as task:
            for place, members_C in enumerate(sets_MC):
                worth_M[place] = -self.trainings.loss(self.store, members_C)
                task.advance(1)
                if np.isnan(worth_M[place]):
                    break
        return worth_M


@dataclass(frozen=True, eq=False)
class TrainingShare:
    """Sets that several processes train on, a share each, into one store."""

    trainings: Trainings
    sets_MC: Sets
    store_root: Path
    verify: Literal["hash", "size"]


def train_share(share: TrainingShare) -> None:
    """Train on every `WORLD_SIZE`-th set, from that of this rank; what a killed worker leaves out, its caller does."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    share_threads(int(os.environ["LOCAL_WORLD_SIZE"]))
    store = Store(share.store_root, share.verify)
    with _alone(uses_gpu=share.trainings.trainer.accelerator != "cpu"):
        for members_C in share.sets_MC[rank::size]:
            share.trainings.loss(store, members_C)


@contextmanager
def _alone(*, uses_gpu: bool) -> Iterator[None]:
    """Let this worker train by itself: Lightning would take its rank for one of a group, and every worker the
    first GPU.
    """
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
