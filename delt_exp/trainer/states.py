"""Keeps the state of a training run at chosen steps: the model and, where the optimizer has them, Adam's moments."""

import copy
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from safetensors.torch import save_file
from torch import Tensor

from delt_exp.tokenizer.base import Tokenizer

MOMENTS = ("exp_avg", "exp_avg_sq")  # as torch.optim calls m and v


class KeptStates(pl.Callback):
    """Writes the folder `step-S/` after every update S in `steps` (0: before the first), aside and renamed.

    It stands before the callback that writes checkpoints: otherwise a restart could begin after a state that was never
    written. shell: a copy of the network without weights, which can save them.
    """

    def __init__(self, folder: Path, steps: Collection[int], shell: Any, tokenizer: Tokenizer) -> None:
        self.folder, self.steps, self.shell, self.tokenizer = folder, frozenset(steps), shell, tokenizer
        self._step = -1

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.global_step == 0:
            self._keep(trainer, pl_module)
        self._step = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        if trainer.global_step != self._step:  # else it is still accumulating
            self._step = trainer.global_step
            self._keep(trainer, pl_module)

    def _keep(self, trainer: pl.Trainer, pl_module: Any) -> None:
        step = trainer.global_step
        if step not in self.steps:
            return
        # All processes must call these: where there are shards, each process gives its own.
        state, moments = trainer.strategy.lightning_module_state_dict(), named_moments(trainer, pl_module)
        if trainer.is_global_zero:
            aside, place = self.folder / f".step-{step}", self.folder / f"step-{step}"
            for folder in (aside, place):
                shutil.rmtree(folder, ignore_errors=True)
            write_model(self.shell, state, self.tokenizer, aside)
            save_file(moments, aside / "moments.safetensors")
            aside.rename(place)
        trainer.strategy.barrier()


def named_moments(trainer: pl.Trainer, pl_module: Any) -> dict[str, Tensor]:
    """Return `exp_avg.NAME` and `exp_avg_sq.NAME` of every parameter that has them, whole, on the host of rank 0."""
    (optimizer,) = trainer.optimizers
    names = {id(parameter): name for name, parameter in pl_module.network.named_parameters()}
    ordered = [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
    state: Any = trainer.strategy.optimizer_state(optimizer)["state"]
    return {
        f"{kind}.{ordered[index]}": values[kind].cpu().contiguous()
        for index, values in state.items()
        for kind in MOMENTS
        if isinstance(values.get(kind), Tensor)
    }


def write_model(shell: Any, state: Mapping[str, Any], tokenizer: Tokenizer, folder: Path) -> dict[str, Tensor]:
    """Write the `state` of an LMModule and the tokenizer in Hugging Face format; returns the weights by name.

    Adapters are merged into the model, and stay beside it in `adapter/`.
    """
    weights = {name.removeprefix("network."): value.cpu() for name, value in state.items()}
    if hasattr(shell, "merge_and_unload"):  # adapters of `peft`
        adapted = copy.deepcopy(shell)
        cloned = {name: value.clone() for name, value in weights.items()}  # adapters are merged in place
        adapted.load_state_dict(cloned, assign=True)
        adapted.tie_weights()  # loading leaves two copies of a tied weight
        adapted.save_pretrained(folder / "adapter")
        adapted.merge_and_unload().save_pretrained(folder)
    else:
        shell.save_pretrained(folder, state_dict=dict(weights))  # it removes tied ones from the copy of the dict
    for file in tokenizer.folder.iterdir():
        if file.name not in ("entry.json", "meta.json"):
            shutil.copy(file, folder)
    return weights
