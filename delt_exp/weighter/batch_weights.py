"""Weights that are decided for a whole global batch at once, by what the network makes of its sequences.

B sequences of a global batch (of a micro-batch where that is said), I items of a plan, K numbers of a sequence.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delt_exp.distributed.ranks import Ranks
from delt_exp.errors import DivergedError
from delt_exp.model.batch import Batch
from delt_exp.model.next_token import evaluating
from delt_exp.store.evidence import Evidence
from delt_exp.trainer.datamodule import StepBatches
from delt_exp.trainer.job import TrainJob, Update
from delt_exp.trainer.settings import accumulation
from delt_exp.weighter.shown import show_weights

NARROW, NARROW_STEPS = 1.5, 50  # an effective sample size below this, for so many steps, is a training run on one text


class BatchWeights:
    """The base of such weights: sees the whole batch first, remembers what it gave, and refuses unsound weights.

    Where one micro-batch on one process is the whole batch, its own forward pass is enough. Otherwise every process
    first reads its part of the batch without gradients and dropout. That costs a third of a training step, and makes
    the weights independent of how the batch is cut, but for dropout, which only a whole batch's own pass has. They are
    computed on the CPU in float64, alike on all processes.
    """

    num_stages = 1

    def __init__(self, network: Any, job: TrainJob, ranks: Ranks) -> None:
        self.network, self.job, self.ranks = network, job, ranks
        micro, plan = job.trainer.micro_batch_items, job.plan
        self.is_whole = accumulation(plan.batch_items, ranks.world_size, micro) == 1 == ranks.world_size
        self.batches = StepBatches(plan, ranks.rank, ranks.world_size, micro)
        self.given_I = torch.ones(plan.num_items, dtype=torch.float64)
        self.losses_I = torch.zeros(plan.num_items, dtype=torch.float64)  # per label [nats]
        self.step, self.narrow_steps = -1, 0

    def weigh(self, step: int, batch: Batch, losses_B: Tensor) -> Tensor:
        """Return w [B] float64 of the global batch, with mean 1. batch, losses_B: of its first micro-batch here."""
        raise NotImplementedError

    def read(self, batch: Batch, mean_losses_B: Tensor) -> Tensor:
        """Return [B, K] what weights depend on, for a micro-batch that has just gone through the network."""
        raise NotImplementedError

    def look(self, batch: Batch) -> Tensor:
        """Send a micro-batch through the network and return the same for it."""
        raise NotImplementedError

    def __call__(self, batch: Batch, losses_B: Tensor) -> Tensor:
        step: int = batch["step"]  # type: ignore[assignment]
        means_B = self.means(batch, losses_B)
        if step != self.step:
            self.step = step
            self._give(self.weigh(step, batch, means_B))
        index_B, means_B = batch["index"].cpu(), means_B.double().cpu()
        self.losses_I[index_B[index_B >= 0]] = means_B[index_B >= 0]
        return self.given_I[index_B.clamp(min=0)].to(losses_B.device)

    def of_whole_batch(self, step: int, batch: Batch, mean_losses_B: Tensor) -> Tensor:
        """Return `read` of all sequences of the global batch, [B, K] float64 on the CPU, the same bits everywhere."""
        if self.is_whole:
            return self.read(batch, mean_losses_B).double().cpu()
        device, values_BK = batch["input_ids"].device, torch.empty(0)
        with torch.no_grad(), evaluating(self.network):
            for part in self.own_batches(step, device):
                found_BK = self.look(part).double()
                if not len(values_BK):
                    values_BK = found_BK.new_zeros(self.num_items(step), found_BK.shape[1])
                self.put(values_BK, step, part, found_BK)
        return self.ranks.sum(values_BK).cpu()

    def means(self, batch: Batch, losses_B: Tensor) -> Tensor:
        """Return summed losses per label; 0 for a sequence without one."""
        return losses_B / self.job.recipe.objective.counts(batch).clamp(min=1)

    def own_batches(self, step: int, device: torch.device) -> list[dict[str, Any]]:
        """Return the micro-batches of this process in a step, on a device."""
        return [
            {name: value.to(device) if isinstance(value, Tensor) else value for name, value in part.items()}
            for part in self.batches(step)
        ]

    def put(self, values: Tensor, step: int, part: Batch, found: Tensor) -> None:
        """Put what belongs to the sequences of a micro-batch in their places in the global batch."""
        slot_B = part["index"] - step * self.job.plan.batch_items
        values[slot_B[slot_B >= 0]] = found[slot_B >= 0].to(values)

    def num_items(self, step: int) -> int:
        """Return B of a step; the last one may have fewer."""
        plan = self.job.plan
        return min(plan.batch_items, plan.num_items - step * plan.batch_items)

    def stage_of(self, step: int) -> int:
        """Return the stage, 0 to num_stages - 1, that a step is in; stages have equally many steps."""
        return step * self.num_stages // self.job.plan.num_steps

    def _give(self, weights_B: Tensor) -> None:
        """Remember the weights of the current step; raises DivergedError where they are no sound weights."""
        if not bool(weights_B.isfinite().all()):
            raise DivergedError(
                f"weights of sequences: at step {self.step + 1} of {self.job.plan.num_steps} a weight is not finite; "
                f"lower the learning rate of the weighter, or the model's own (model.optimizer.lr)"
            )
        self._own(self.given_I, self.step).copy_(weights_B)
        is_narrow = len(weights_B) >= 2 and effective_samples(weights_B) < NARROW
        self.narrow_steps = self.narrow_steps + 1 if is_narrow else 0
        if self.narrow_steps >= NARROW_STEPS:
            raise DivergedError(
                f"weights of sequences: at step {self.step + 1} of {self.job.plan.num_steps} the effective sample size "
                f"has been below {NARROW} of {self.job.plan.batch_items} for {NARROW_STEPS} steps, so that a single "
                "sequence decides every update; raise weighter.temperature, or weighter.floor where there is one"
            )

    def _own(self, values_I: Tensor, step: int) -> Tensor:
        first = step * self.job.plan.batch_items
        return values_I[first : first + self.num_items(step)]

    def planned(self) -> NDArray[np.float64]:
        return self.given_I.numpy()

    def after_step(self, update: Update) -> None:
        """Exchange the losses of the sequences between processes."""
        if self.ranks.world_size > 1:
            losses_B = self._own(self.losses_I, update.step)
            losses_B.copy_(self.ranks.sum(losses_B.to(update.grad_norm.device)).cpu())

    def metrics(self) -> Mapping[str, float]:
        return {"train/effective_samples": effective_samples(self._own(self.given_I, self.step))}

    def show(self, evidence: Evidence) -> None:
        stages = np.array([self.stage_of(step) for step in range(self.job.plan.num_steps)])
        show_weights(evidence, self.job.plan, stages, self.given_I.numpy(), self.losses_I.numpy())

    def state_dict(self) -> Mapping[str, Any]:
        return {"given": self.given_I, "losses": self.losses_I, "narrow_steps": self.narrow_steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.given_I, self.losses_I = state["given"].clone(), state["losses"].clone()
        self.narrow_steps = state["narrow_steps"]


def softmax_weights(logits_B: Tensor, floor: float = 0.0) -> Tensor:
    """Return floor + (1 - floor) B softmax(logits_B), differentiable; equal logits give 1 to the last bit."""
    parts_B = (logits_B - logits_B.max()).exp()
    weights_B = parts_B / parts_B.mean()  # B times 1/B is not always 1, B ones over B are
    return weights_B + floor * (1 - weights_B)


def effective_samples(weights_B: Tensor) -> float:
    """Return (sum w)^2 / sum w^2: B for equal weights, 1 where one sequence has them all."""
    return float(weights_B.sum() ** 2 / weights_B.square().sum())
