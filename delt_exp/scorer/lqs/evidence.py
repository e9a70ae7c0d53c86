"""What an annotation shows of its work."""

from contextlib import suppress

import numpy as np

from delt_exp.errors import DataError
from delt_exp.progress import say
from delt_exp.scorer.lqs.annotation import Annotation
from delt_exp.scorer.lqs.job import AnnotationJob
from delt_exp.scorer.lqs.settings import ANNOTATED, SCORES
from delt_exp.scorer.reverse.documents import num_beyond
from delt_exp.store.evidence import Evidence, Figure


def show_annotation(evidence: Evidence, annotation: Annotation, job: AnnotationJob) -> None:
    """Leave every document under all four scores, the losses of the short run, and the sizes."""
    rows, beyond = job.document_rows, num_beyond(job.candidates, job.document_rows, job.context_tokens)
    if beyond:
        size, many = job.context_tokens, f"{beyond} of {len(rows)} annotated documents"
        say(f"{many} are longer than {size} tokens; only {size} of each are scored")
    columns = {"id": np.asarray(job.candidates.ids[rows])}
    for score in SCORES:
        with suppress(DataError):  # that of the run itself is raised where it is used
            columns[score] = annotation.scores(score).numpy()
    evidence.table(ANNOTATED, columns, "Each annotated document under the four scores of one annotation.")
    _show_short_run(evidence, annotation)
    sizes: dict[str, int | str] = {
        "documents": len(rows),
        "longer_than_context": beyond,
        "trajectory": annotation.trajectory,
    }
    evidence.numbers("annotation", sizes, "What was annotated, and how the states of the short run were kept.")


def _show_short_run(evidence: Evidence, annotation: Annotation) -> None:
    losses = {"train_loss": annotation.train_loss_T.numpy(), "target_loss": annotation.target_loss_T.numpy()}
    updates = np.arange(1, len(losses["train_loss"]) + 1)
    evidence.table(
        "short_run",
        {"update": updates, **losses},
        "Loss of each batch before its update, and of the target after it, in nats/token.",
    )
    figure = Figure(
        "The short run", "short_run", "line", "update", ("train_loss", "target_loss"), "update", "loss [nats/token]"
    )
    caption = (
        "The training run along which documents were annotated. Where the loss of the target rises or jumps, the "
        "scores describe a run that diverges: lower the learning rate of the scorer."
    )
    evidence.figure("short_run", figure, caption)
