"""What loggers send of a finished run, read from its record and folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

HISTOGRAM_BINS = 64


def eval_scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """Return `eval/<dataset>/<metric>` -> value, and `..._stderr` -> standard error where there is one."""
    scalars = {}
    for measure in record["results"]:
        name = f"eval/{measure['dataset']}/{measure['metric']}"
        scalars[name] = measure["value"]
        if measure["stderr"] is not None:
            scalars[f"{name}_stderr"] = measure["stderr"]
    return scalars


def read_scores(folder: Path) -> NDArray[Any]:
    """Return the score of every document, [N] float32."""
    import pyarrow.parquet as pq

    scores: NDArray[Any] = pq.read_table(folder / "scores.parquet", columns=["score"])["score"].to_numpy()
    return scores


def pictures(folder: Path) -> dict[str, Path]:
    """Return `plots/<name>` -> PNG file of the run, sorted by name."""
    return {f"plots/{path.stem}": path for path in sorted((folder / "plots").glob("*.png"))}
