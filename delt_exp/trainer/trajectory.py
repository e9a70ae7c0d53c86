"""A training run that keeps states along the way, for methods that look at a model while it learns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delt_exp.errors import ConfigError
from delt_exp.model.recipe import Recipe
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.store.store import Store
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.trainer.job import TrainJob
from delt_exp.trainer.stage import training_inputs
from delt_exp.trainer.train import train

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Checkpoint:
    """The state after `step` updates; 0 is before the first, the number of steps of the plan the final one.

    lr: learning rate of the update that led here, 0.0 at step 0. folder: model and tokenizer in Hugging Face format.
    recipe, tokenizer, seed: of the training run; they rebuild the network in which adapters stand. All fields are plain
    values and paths, so that a checkpoint can be sent to other processes.
    """

    step: int
    lr: float
    folder: Path
    recipe: Recipe
    tokenizer: Tokenizer
    seed: int

    def network(self) -> Any:
        """Return the causal LM in evaluation mode, float32, on the CPU; adapters are not merged."""
        if not (self.folder / "adapter").exists():
            return load_causal_lm(str(self.folder))
        from peft import set_peft_model_state_dict
        from safetensors.torch import load_file

        network = self.recipe.make_network(self.tokenizer, self.seed)
        set_peft_model_state_dict(network, load_file(self.folder / "adapter" / "adapter_model.safetensors"))
        return network.eval()

    def moments(self) -> Mapping[str, tuple["Tensor", "Tensor"]]:
        """Return Adam's (m, v), without bias correction, by parameter name; nothing at step 0 and without Adam."""
        from safetensors.torch import load_file

        from delt_exp.trainer.states import MOMENTS

        stored = load_file(self.folder / "moments.safetensors")
        first, second = MOMENTS
        names = [name.removeprefix(f"{first}.") for name in stored if name.startswith(f"{first}.")]
        return {name: (stored[f"{first}.{name}"], stored[f"{second}.{name}"]) for name in names}


def trajectory_stage(store: Store, job: TrainJob, keep: Sequence[int]) -> list[Checkpoint]:
    """Return the states of a training run after the updates `keep`, ascending; trained once, continued after a kill.

    Raises ConfigError for a step that the plan does not have.
    """
    steps, num_steps = sorted(set(keep)), job.plan.num_steps
    wrong = [step for step in steps if not 0 <= step <= num_steps]
    if wrong or not steps:
        raise ConfigError(
            f"the states of steps {list(keep)} were requested; this training run has the steps 0 (before the first "
            f"update) to {num_steps}"
        )
    inputs = training_inputs(job) | {"keep": steps}
    use = store.get("trajectory", inputs, lambda folder: train(job, folder, keep=steps), resumable=True)
    rates = [job.recipe.lr(step - 1, num_steps) if step else 0.0 for step in steps]
    folders = [use.path / "states" / f"step-{step}" for step in steps]
    made_by = job.recipe, job.tokenizer, job.seed
    return [Checkpoint(*state, *made_by) for state in zip(steps, rates, folders, strict=True)]
