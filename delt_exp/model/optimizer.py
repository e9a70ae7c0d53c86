"""AdamW, with weight decay on matrices only."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from delt_exp.config.checks import check_number

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class AdamW:
    """Decoupled weight decay (Loshchilov and Hutter 2019); vectors (norms, biases) are not decayed.

    lr: peak learning rate; the schedule multiplies it.
    """

    lr: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float

    def __post_init__(self) -> None:
        for beta in self.betas:
            check_number("model.optimizer.betas", beta, "[0, 1)")
        check_number("model.optimizer.lr", self.lr, "(0, inf)")
        check_number("model.optimizer.eps", self.eps, "(0, inf)")
        check_number("model.optimizer.weight_decay", self.weight_decay, "[0, inf)")

    def make(self, network: "torch.nn.Module") -> "torch.optim.Optimizer":
        """Return the optimizer over the trainable parameters of a network."""
        import torch

        trainable = [p for p in network.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in trainable if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
        ]
        # `fused` is one kernel for all parameters; on two CPU cores it takes 0.4 of the time of the loop version.
        return torch.optim.AdamW(groups, lr=self.lr, betas=(self.betas[0], self.betas[1]), eps=self.eps, fused=True)
