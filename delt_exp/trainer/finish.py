"""What a training run leaves when it has ended: the model, the proof of its order, and numbers about it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from delt_exp.files import digest, write_json
from delt_exp.model.recipe import num_parameters
from delt_exp.progress import say
from delt_exp.store.evidence import Evidence
from delt_exp.trainer.job import SHOWN, TrainJob, Weights
from delt_exp.trainer.metrics_file import MetricsFile
from delt_exp.trainer.plan import Plan
from delt_exp.trainer.proof.order import order_mismatch, weight_mismatch
from delt_exp.trainer.proof.pairs import pair_weight_mismatch
from delt_exp.trainer.proof.steps import PlannedSteps, step_mismatch

if TYPE_CHECKING:
    import pytorch_lightning as pl


def finish(
    job: TrainJob,
    folder: Path,
    shell: Any,
    state: Mapping[str, Any],
    given: Weights,
    seconds: float,
    trainer: "pl.Trainer",
) -> None:
    """Write model, proof of order and summary of a training run that took `seconds` since its last restart.

    shell: the network; state: its trained weights; given: the weights that sequences got.
    """
    from delt_exp.trainer.proof.fingerprint import fingerprint
    from delt_exp.trainer.states import write_model

    weights = write_model(shell, state, job.tokenizer, folder / "model")
    saved = int(fingerprint([weights[name] for name, _ in shell.named_parameters()]))
    rows, planned_weights = MetricsFile(folder / "metrics.csv").rows(), given.planned()
    given.show(Evidence(folder / SHOWN))
    mismatch = _keep_proof(job, folder, planned_weights, _planned_steps(job, saved, rows))
    if mismatch:
        say(f"order NOT verified: {mismatch}")
    result = {
        "order_verified": not mismatch,
        "order_mismatch": mismatch,
        "weights_digest": None if planned_weights is None else digest(planned_weights),
        "steps": job.plan.num_steps,
        **_size(shell, job.plan),
        "final_train_loss": _final_loss(rows),
        "seconds_since_restart": seconds,
        "documents_left_out": job.plan.num_left_out,
        "precision": job.trainer.resolved_precision(),
        "world_size": trainer.world_size,
        "device": trainer.strategy.root_device.type,
    }
    write_json(folder / "result.json", result)


def _keep_proof(
    job: TrainJob, folder: Path, planned_weights: NDArray[np.float64] | None, planned_steps: "PlannedSteps"
) -> str:
    """Keep what every step consumed; return where it departs from the plan, and nothing where it does not."""
    from delt_exp.trainer.proof.recorded import merged

    consumed, steps = merged(folder / "evidence")
    np.save(folder / "consumed.npy", consumed)
    np.save(folder / "steps.npy", steps)
    return (
        order_mismatch(job.plan, consumed)
        or _weight_mismatch(job, consumed, planned_weights)
        or step_mismatch(planned_steps, steps)
    )


def _size(shell: Any, plan: Plan) -> dict[str, int]:
    tokens = int(plan.labels_per_step().sum())
    parameters = num_parameters(shell.parameters())
    trained = num_parameters(p for p in shell.parameters() if p.requires_grad)
    # Kaplan et al. 2020, without attention: 2 forward, 2 for the deltas, 2 for the gradients of what is trained.
    flops = (4 * parameters + 2 * trained) * plan.positions_read()
    return {"tokens": tokens, "parameters": parameters, "trained_parameters": trained, "flops": flops}


def _weight_mismatch(job: TrainJob, consumed: NDArray[np.void], planned_weights: NDArray[np.float64] | None) -> str:
    if job.plan.rows_per_sample == 2:
        return pair_weight_mismatch(job.plan, consumed, cast(Any, job.recipe.objective))
    return weight_mismatch(job.plan, consumed, planned_weights)


def _planned_steps(job: TrainJob, weights: int, rows: list[dict[str, float]]) -> "PlannedSteps":
    recipe, num_steps = job.recipe, job.plan.num_steps
    lr = [recipe.lr(step, num_steps) for step in range(num_steps)]
    # What is recorded at the network are losses of tokens; a loss of pairs is another number.
    losses = [(int(row["step"]), row["train/loss"]) for row in rows if job.plan.rows_per_sample == 1]
    scales_loss = job.trainer.resolved_precision() == "16-mixed"
    return PlannedSteps(job.plan.labels_per_step(), np.array(lr), recipe.clip_norm, scales_loss, weights, losses)


def _final_loss(rows: list[dict[str, float]]) -> float:
    """Return the mean training loss over the last tenth of the tokens; a single batch says little."""
    before = [0.0, *(row["tokens"] for row in rows[:-1])]
    sizes = [row["tokens"] - earlier for row, earlier in zip(rows, before, strict=True)]
    is_late = [row["tokens"] > 0.9 * rows[-1]["tokens"] for row in rows]
    late = [(n, row["train/loss"]) for n, row, late in zip(sizes, rows, is_late, strict=True) if late]
    return sum(n * loss for n, loss in late) / sum(n for n, _ in late)
