"""The message of a training run whose numbers are no longer finite."""

from delt_exp.errors import DivergedError
from delt_exp.trainer.job import TrainJob


def diverged(job: TrainJob, step: int, what: str, num_updates: int) -> DivergedError:
    """Return the error for `job`: `what`, such as "the loss is nan", at `step`, counted from 1.

    num_updates: how many updates were made before that; without any, the initial weights are to blame.
    """
    recipe = job.recipe
    if num_updates == 0:
        cure = (
            "this is before any update, so the initial weights are at fault: check model.network (damaged or "
            "half-precision weights) and trainer.precision"
        )
    else:
        cure = (
            f"lower model.optimizer.lr ({recipe.optimizer.lr:g}), warm up longer (model.schedule) or clip gradients "
            f"(model.clip_norm, {'null' if recipe.clip_norm is None else format(recipe.clip_norm, 'g')})"
        )
    return DivergedError(f"training diverged: at step {step} of {job.plan.num_steps} {what}; {cure}")
