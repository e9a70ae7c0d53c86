"""The weights of `DwmWeighter` in one process. B sequences of a global batch, F features, P trainable parameters."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from delt_exp.corpus.windows import Windowing, windows_of
from delt_exp.distributed.ranks import Ranks
from delt_exp.gradients.flat import flatten, trainable_parameters, unflatten
from delt_exp.gradients.products import add_gradient
from delt_exp.model.batch import Batch
from delt_exp.model.next_token import NETWORK_INPUTS
from delt_exp.model.optimizer import Differentiable
from delt_exp.rows.draws import generator
from delt_exp.store.evidence import Evidence
from delt_exp.trainer.job import TrainJob, Update
from delt_exp.weighter.batch_weights import BatchWeights, softmax_weights
from delt_exp.weighter.dwm.attention import Attention
from delt_exp.weighter.dwm.bilevel import direction_of_weights, products_with_sequences
from delt_exp.weighter.dwm.settings import DwmSettings


class BilevelWeights(BatchWeights):
    """Gives the weights of the weighting model f, and lets it learn after its steps.

    A weighting step is an ordinary step of training whose parameters before, theta, are kept. After it, the validation
    gradient is taken at theta', then theta is put back for the products with the sequences, and theta' again, to the
    bit. So every planned sequence is trained once, and training goes on from theta'.
    """

    def __init__(self, network: Any, job: TrainJob, ranks: Ranks, settings: DwmSettings) -> None:
        super().__init__(network, job, ranks)
        self.settings, self.num_stages = settings, settings.num_stages
        head = network.get_output_embeddings()
        head.register_forward_pre_hook(self._enters_head)
        self.hidden_BTF: Tensor | None = None
        self.model = Attention(head.weight.shape[1], settings.width, settings.seed)
        # The derivative is as small as the network's learning rate; its scale must not decide how fast f learns.
        self.optimizer = torch.optim.Adam(self.model.parameters(), settings.lr, eps=1e-12)
        self.parameters = list(trainable_parameters(network).values())
        self.theta_P, self.features_BF = torch.empty(0), torch.empty(0)
        bf16 = job.trainer.resolved_precision() == "bf16-mixed"
        self.autocast_dtype = torch.bfloat16 if bf16 else None

    def _enters_head(self, head: Any, args: tuple[Any, ...]) -> None:
        self.hidden_BTF = args[0].detach()

    def read(self, batch: Batch, mean_losses_B: Tensor) -> Tensor:
        """Return the mean hidden state of each sequence, [B, F]; padding does not count."""
        hidden_BTF, self.hidden_BTF = self.hidden_BTF, None
        assert hidden_BTF is not None
        lengths_B = batch["lengths"].clamp(min=1)
        is_read_BT = torch.arange(hidden_BTF.shape[1], device=lengths_B.device) < lengths_B[:, None]
        return (hidden_BTF.float() * is_read_BT[..., None]).sum(1) / lengths_B[:, None]

    def look(self, batch: Batch) -> Tensor:
        """Read without the head, whose logits are a large part of the work of a small model."""
        inner = self.network.get_base_model() if hasattr(self.network, "get_base_model") else self.network
        inputs = {name: batch[name] for name in NETWORK_INPUTS if name in batch}
        self.hidden_BTF = inner.base_model(**inputs, use_cache=False).last_hidden_state
        return self.read(batch, torch.empty(0))

    def weigh(self, step: int, batch: Batch, losses_B: Tensor) -> Tensor:
        if self.stage_of(step) == 0:
            return torch.ones(self.num_items(step), dtype=torch.float64)
        self.features_BF = self.of_whole_batch(step, batch, losses_B)
        if self.settings.is_weighting_step(step, self.job.plan.num_steps):
            self.theta_P = flatten(self.parameters)
        with torch.no_grad():
            return self._weights(self.features_BF)

    def _weights(self, features_BF: Tensor) -> Tensor:
        return softmax_weights(self.model(features_BF) / self.settings.temperature, self.settings.floor)

    def after_step(self, update: Update) -> None:
        super().after_step(update)
        if self.settings.is_weighting_step(update.step, self.job.plan.num_steps):
            self._learn(self._derivative(update))

    def _learn(self, by_weight_B: Tensor) -> None:
        """Take one step of f, given dL / dw [B] of the step that was made."""
        self.optimizer.zero_grad()
        with torch.enable_grad():
            weights_B = self._weights(self.features_BF)
            shares_B = weights_B / len(weights_B)
            entropy = -torch.xlogy(shares_B, shares_B).sum()
            (by_weight_B @ weights_B - self.settings.entropy_weight * entropy).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def _derivative(self, update: Update) -> Tensor:
        """Return dL / dw [B] on the CPU, the same bits on all processes."""
        recipe, device = self.job.recipe, self.parameters[0].device
        assert isinstance(recipe.optimizer, Differentiable)
        gradient_P = self._validation_gradient(update.step)
        direction_P = direction_of_weights(
            gradient_P, self.parameters, recipe.optimizer, update.optimizer, float(update.grad_norm), recipe.clip_norm
        )
        by_weight_B = torch.zeros(self.num_items(update.step), dtype=torch.float64, device=device)
        after_P = flatten(self.parameters)
        self._set(self.theta_P)
        for part in self.own_batches(update.step, device):
            if part["index"][0] >= 0:
                dot_B = products_with_sequences(self.network, part, recipe.objective, direction_P, self.autocast_dtype)
                self.put(by_weight_B, update.step, part, dot_B / part["count"])
        self._set(after_P)
        return self.ranks.sum(by_weight_B).cpu()

    def _validation_gradient(self, step: int) -> Tensor:
        """Return the gradient [P] of the mean over drawn documents of their mean token losses, at theta'."""
        tokens, recipe = self.job.target, self.job.recipe
        assert tokens is not None
        count = min(self.settings.validation_documents, len(tokens.ids))
        random = generator(self.settings.seed, "validation documents", step)
        rows = np.sort(random.choice(len(tokens.ids), count, replace=False))
        own = rows[self.ranks.rank :: self.ranks.world_size]
        windows = windows_of(tokens, own, Windowing("beginning", recipe.context_tokens))
        total_P = torch.zeros_like(flatten(self.parameters))
        for chosen in np.split(np.arange(len(own)), range(0, len(own), self.job.trainer.micro_batch_items))[1:]:
            batch = windows.batch(chosen)
            part = {
                name: torch.from_numpy(values).to(total_P.device)
                for name, values in (("input_ids", batch.ids_WT), ("labels", batch.labels_WT))
            }
            add_gradient(self.network, part, recipe.objective, count, total_P, self.autocast_dtype)
        return self.ranks.sum(total_P)

    def _set(self, values_P: Tensor) -> None:
        with torch.no_grad():
            for parameter, piece in zip(self.parameters, unflatten(values_P, self.parameters), strict=True):
                parameter.copy_(piece)

    def show(self, evidence: Evidence) -> None:
        super().show(evidence)
        wanted = self.settings.validation_documents
        if self.job.target is not None and len(self.job.target.ids) < wanted:
            evidence.warn(
                f"the target set has {len(self.job.target.ids)} documents, fewer than the {wanted} of "
                "weighter.validation_documents: every weighting step used all of them"
            )

    def state_dict(self) -> Mapping[str, Any]:
        return {**super().state_dict(), "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
