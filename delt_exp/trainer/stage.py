"""Trained models as stages: one sequence of documents is trained once, however it was chosen."""

from typing import Any

from delt_exp.config.identity import identity
from delt_exp.files import digest
from delt_exp.store.store import Store
from delt_exp.trainer.job import TrainedModel, TrainJob
from delt_exp.trainer.metrics_file import MetricsFile
from delt_exp.trainer.train import OnMetrics, train

FORMAT = 2  # bump when the same job trains another model or leaves other files


def training_inputs(job: TrainJob) -> dict[str, Any]:
    """Return what decides the trained model, as the inputs of a stage."""
    return {
        "recipe": identity(job.recipe),
        "plan": job.plan.digest,
        "seed": job.seed,
        "format": FORMAT,
        "precision": job.trainer.resolved_precision(),
        "weighter": identity(job.weighter),
        "goodness": None if job.goodness is None else digest(job.goodness[job.plan.order]),
        **({} if job.target is None else {"target": job.target.digest}),
        **({} if job.averaging is None else {"averaging": identity(job.averaging)}),
    }


def training_stage(store: Store, job: TrainJob, on_metrics: OnMetrics | None = None) -> TrainedModel:
    """Return the model trained on a plan.

    on_metrics gets every line of the training metrics, live or, for a cached training run, read back.
    """
    use = store.get("model", training_inputs(job), lambda folder: train(job, folder, on_metrics), resumable=True)
    if use.cached and on_metrics is not None:
        for row in MetricsFile(use.path / "metrics.csv").rows():
            on_metrics(row)
    recipe = job.recipe
    return TrainedModel(use.path, use.key, job.tokenizer, recipe.context_tokens, recipe.network, job.seed)
