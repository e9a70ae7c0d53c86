"""An annotation as a stage of the store: one of them serves `lqs`, `pds`, `learnability` and `quality`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from delt_exp.distributed.processes import Spread
from delt_exp.scorer.lqs.annotation import Annotation
from delt_exp.scorer.lqs.job import FILE, AnnotationJob, run_annotation
from delt_exp.store.store import Store


def annotation_stage(
    store: Store, inputs: Mapping[str, Any], job: AnnotationJob, spread: Spread
) -> tuple[Annotation, Mapping[str, Any]]:
    """Return the annotation of `job`, which `inputs` decide, and what computing it took, whenever that was.

    A killed annotation continues after its last finished segment.
    """

    def build(folder: Path) -> None:
        run_annotation(job, folder, spread)

    use = store.get("annotation", inputs, build, resumable=True)
    return Annotation.load(use.path / FILE), use.cost
