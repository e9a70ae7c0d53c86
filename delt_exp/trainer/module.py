"""The LightningModule that trains every language model of this project.

B sequences of a micro-batch.
"""

from contextlib import nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from delt_exp.distributed.ranks import ProcessGroup, SingleProcess
from delt_exp.model.next_token import only_labels
from delt_exp.model.optimizer import clip_gradients
from delt_exp.model.schedule import scheduler
from delt_exp.rows.draws import seed_for
from delt_exp.runtime import seed_step
from delt_exp.trainer.fsdp import shard
from delt_exp.trainer.job import TrainJob, Update, Weights
from delt_exp.trainer.weights import EqualWeights


class LMModule(pl.LightningModule):
    """Trains a causal LM on the objective's mean over each global batch.

    A micro-batch carries `count`, the predicted tokens (or pairs) of its global batch, so the gradient of a step is
    the same whatever the number of ranks and accumulation steps: sum of losses / count, undoing Lightning's averages.
    """

    def __init__(self, network: nn.Module, job: TrainJob) -> None:
        super().__init__()
        self.network, self.job = network, job
        self.recipe, self.num_steps = job.recipe, job.plan.num_steps
        self.weights: Weights  # from `setup` on, when the processes know each other
        self.loss_sum = torch.zeros((), dtype=torch.float64)
        self.grad_norm = torch.zeros(())

    def configure_model(self) -> None:
        if self.device_mesh is not None:  # only trainer=fsdp sets one
            shard(self.network, self.device_mesh["data_parallel"])

    def setup(self, stage: str) -> None:
        ranks = ProcessGroup() if self.trainer.world_size > 1 else SingleProcess()
        weighter = self.job.weighter
        self.weights = (
            EqualWeights(self.job.plan.num_items) if weighter is None else weighter.open(self.network, self.job, ranks)
        )

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # Each micro-batch seeds itself, so that dropout is the same after a resume.
        seed_step(seed_for(self.job.seed, "dropout in training", batch_idx, self.global_rank), self.device)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        compiled = self.job.trainer.compile
        with nullcontext() if compiled else only_labels(self.network, batch["labels"]):
            losses_B = self.recipe.objective.losses(self.network, batch)
        self.loss_sum = self.loss_sum.to(losses_B.device) + losses_B.detach().sum()
        weights_B = self.weights(batch, losses_B.detach())
        return (weights_B * losses_B).sum().float() * (
            self.trainer.world_size * self.trainer.accumulate_grad_batches / batch["count"]
        )

    def optimizer_step(self, *arguments: Any, **settings: Any) -> None:
        super().optimizer_step(*arguments, **settings)
        optimizer = self.trainer.optimizers[0]
        self.weights.after_step(Update(self.global_step, optimizer, self.grad_norm))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["weights"] = dict(self.weights.state_dict())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Count the batches of the checkpoint in today's micro-batches: devices and their size may have changed."""
        self.weights.load_state_dict(checkpoint["weights"])
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        batches = checkpoint["global_step"] * self.trainer.accumulate_grad_batches
        for counters in (progress["current"], progress["total"]):
            counters.update(dict.fromkeys(("ready", "started", "processed", "completed"), batches))

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        norm = clip_gradients(self.network.parameters(), self.recipe.clip_norm)
        self.grad_norm = norm.full_tensor() if isinstance(norm, DTensor) else norm

    def configure_optimizers(self) -> Any:
        optimizer = self.recipe.optimizer.make(self.network)
        by_step = {"scheduler": scheduler(optimizer, self.recipe.schedule, self.num_steps), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": by_step}
