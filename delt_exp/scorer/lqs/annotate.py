"""The annotator: a short training run, then one sweep back in time that values every document.

Methods: DELT (arXiv 2506.21545) and PDS (arXiv 2410.07064).
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from delt_exp.distributed.ranks import Ranks, SingleProcess
from delt_exp.errors import DataError
from delt_exp.gradients.precision import autocast_dtype
from delt_exp.scorer.lqs.annotation import Annotation
from delt_exp.scorer.lqs.problem import LanguageModelProblem, Problem
from delt_exp.scorer.lqs.reverse import ReverseLoop
from delt_exp.scorer.lqs.settings import AnnotationSettings
from delt_exp.scorer.reverse.samples import Sample
from delt_exp.scorer.reverse.sweep import Progress
from delt_exp.scorer.reverse.trajectory import Trajectory, fits_whole_everywhere

logger = logging.getLogger(__name__)


def annotate(
    model: nn.Module,
    train_batches: Sequence[Sequence[Sample]],
    target: Sequence[Sample],
    documents: Sequence[Sample],
    settings: AnnotationSettings,
    *,
    ranks: Ranks | None = None,
    state_dir: Path | None = None,
    progress: Progress = lambda phase, done, total: None,
    is_whole: bool | None = None,
) -> Annotation:
    """Score `documents` by what their gradients do for the loss on `target` over one update per train batch.

    Every loss is the mean over samples of each sample's mean token loss. The model is left as it came. With `ranks`,
    every process calls this with the same arguments and gets the whole result. With `state_dir`, which all processes
    must see, each finished segment is written there, and a repeated call continues after the last one with the same
    scores. is_whole: whether to keep all states of the run, or to replay them from some; None keeps what the memory
    allows.
    """
    for name, samples in (("train_batches", train_batches), ("target", target), ("documents", documents)):
        if not len(samples):
            raise DataError(f"{name} is empty; give at least one")
    empty = next((i for i, batch in enumerate(train_batches) if not len(batch)), None)
    if empty is not None:
        raise DataError(f"train_batches[{empty}] has no samples; every update needs at least one")
    ranks = ranks or SingleProcess()
    dtype = autocast_dtype(settings.precision)
    sizes = settings.gradient_samples, settings.hvp_samples
    problem = LanguageModelProblem(model, train_batches, target, documents, ranks, *sizes, dtype)
    return annotate_problem(problem, settings, ranks=ranks, state_dir=state_dir, progress=progress, is_whole=is_whole)


def annotate_problem(
    problem: Problem, settings: AnnotationSettings, *, ranks: Ranks, state_dir: Path | None, progress: Progress,
    is_whole: bool | None = None,
) -> Annotation:  # fmt: skip
    """`annotate` for anything that has gradients; theta is afterwards what it was."""
    theta_0 = problem.theta
    if is_whole is None:
        is_whole = fits_whole_everywhere(theta_0, problem.num_steps, ranks)
    logger.info("trajectory of %d steps: %s", problem.num_steps, "kept whole" if is_whole else "checkpoints and replay")
    try:
        trajectory = Trajectory(problem, [settings.lr] * problem.num_steps, is_whole, settings.cure)
        return ReverseLoop(problem, settings, trajectory, ranks, state_dir, progress).run()
    finally:
        problem.theta = theta_0
