"""What the kinds of evaluation share: the trained network in memory, and the files a measurement leaves."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from delt_exp.eval_dataset.base import Measure, Subject
from delt_exp.files import write_json
from delt_exp.runtime import Runtime


@contextmanager
def loaded_network(subject: Subject, runtime: Runtime) -> Iterator[Any]:
    """Load the subject's network on the runtime's device, in float32 and evaluation mode; its memory is freed after."""
    import torch

    from delt_exp.model.pretrained import load_causal_lm

    network = load_causal_lm(subject.model.pretrained)
    try:
        yield network.to(runtime.torch_device())
    finally:
        network.to("meta")  # gives the memory back even where somebody still holds the object
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def write_measures(folder: Path, measures: Sequence[Measure]) -> None:
    """Write `measures.json`."""
    write_json(folder / "measures.json", [asdict(measure) for measure in measures])


def write_columns(path: Path, columns: Mapping[str, Any]) -> None:
    """Write columns of equal length as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(dict(columns)), path)
