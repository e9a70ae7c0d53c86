"""The LightningModule that trains every language model of this project.

B sequences of a micro-batch, T positions, V vocabulary.
"""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.functional import cross_entropy

from delt_exp.corpus.tokens import IGNORED
from delt_exp.model.recipe import Recipe
from delt_exp.rows.draws import seed_for


class SummedLoss(nn.Module):
    """Sum of the cross-entropies [nats] of all labels that are not IGNORED, in float32.

    Sequences are padded on the right and attention is causal, so that padding needs no mask.
    """

    def forward(self, logits_BTV: Tensor, labels_BT: Tensor) -> Tensor:
        logits_NV, labels_N = logits_BTV.float().flatten(0, 1), labels_BT.flatten()
        return cross_entropy(logits_NV, labels_N, ignore_index=IGNORED, reduction="sum")


def next_token_logits(network: nn.Module, inputs_BT: Tensor, positions_BT: Tensor | None) -> Tensor:
    """Return the logits [B, T, V]. positions_BT: where they fall back to 0 a document begins that sees nothing before.

    `transformers` makes attention block-diagonal by such positions; `check_isolation` makes sure that it does.
    """
    positions = {} if positions_BT is None else {"position_ids": positions_BT}
    logits_BTV: Tensor = network(input_ids=inputs_BT, use_cache=False, **positions).logits
    return logits_BTV


class LMModule(pl.LightningModule):
    """Trains a causal LM on the token-weighted loss of each global batch.

    A micro-batch carries `targets`, the predicted tokens of its global batch, so the gradient of a step is the same
    whatever the number of ranks and accumulation steps: sum of losses / targets, undoing Lightning's averages.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, num_steps: int, seed: int) -> None:
        super().__init__()
        self.network = network
        self.summed_loss = SummedLoss()
        self.recipe = recipe
        self.num_steps = num_steps
        self.seed = seed
        self.loss_sum = torch.zeros((), dtype=torch.float64)
        self.grad_norm = torch.zeros(())

    def configure_model(self) -> None:
        if self.device_mesh is not None:  # only trainer=fsdp sets one
            from delt_exp.trainer.fsdp import shard

            shard(self.network, self.device_mesh["data_parallel"])

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # Each micro-batch seeds itself, so that dropout is the same after a resume.
        torch.manual_seed(seed_for(self.seed, "dropout in training", batch_idx, self.global_rank))

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        logits_BTV = next_token_logits(self.network, batch["inputs"], batch["positions"])
        loss: Tensor = self.summed_loss(logits_BTV, batch["labels"])
        self.loss_sum = self.loss_sum.to(loss.device) + loss.detach().double()
        return loss * (self.trainer.world_size * self.trainer.accumulate_grad_batches / batch["targets"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Count the batches of the checkpoint in today's micro-batches: devices and their size may have changed."""
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        batches = checkpoint["global_step"] * self.trainer.accumulate_grad_batches
        for counters in (progress["current"], progress["total"]):
            counters.update(dict.fromkeys(("ready", "started", "processed", "completed"), batches))

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        limit = self.recipe.clip_norm
        largest = float("inf") if limit is None else limit
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), largest)
        self.grad_norm = norm.full_tensor() if isinstance(norm, DTensor) else norm

    def configure_optimizers(self) -> Any:
        optimizer = self.recipe.optimizer.make(self.network)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self.recipe.schedule.factor(min(step, self.num_steps - 1), self.num_steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
