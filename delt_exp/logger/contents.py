"""What loggers send of a finished run, read from its record and folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from delt_exp.report.cost import scoring_seconds, training_seconds

HISTOGRAM_BINS = 64


def scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """Return what is known at the end of a run, by name.

    `eval/<dataset>/<metric>` and, where there is one, its standard error `..._stderr`; `averaged/...`, the same of
    averaged weights, where there are some; `alignment/<dataset>/<metric>` of the documents trained on;
    `cost/training_seconds` and, where it is known, `cost/scoring_seconds`; `evidence/<name>/<key>` of what the scorer
    left as numbers. With a baseline: `baseline/<dataset>/<metric>` and, of the run minus the baseline,
    `difference/<dataset>/<metric>` with the ends of its interval, `..._low` and `..._high`.
    """
    return {**eval_scalars(record), **_differences(record), **_alignment(record), **_cost(record), **_evidence(record)}


def eval_scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """Return `eval/<dataset>/<metric>` -> value, and `..._stderr` -> standard error where there is one.

    Of averaged weights, where there are some, `averaged/<dataset>/<metric>` as well.
    """
    values = {}
    for place, found in (("eval", record), ("averaged", record.get("averaged", {"results": []}))):
        for measure in found["results"]:
            name = f"{place}/{measure['dataset']}/{measure['metric']}"
            values[name] = measure["value"]
            if measure["stderr"] is not None:
                values[f"{name}_stderr"] = measure["stderr"]
    return values


def _differences(record: Mapping[str, Any]) -> dict[str, float]:
    values = {}
    for answer in (record.get("baseline") or {}).get("answers", []):
        name = f"{answer['dataset']}/{answer['metric']}"
        values[f"baseline/{name}"] = answer["baseline"]
        ends = {"": answer["difference"], "_low": answer["low"], "_high": answer["high"]}
        values |= {f"difference/{name}{end}": value for end, value in ends.items() if value is not None}
    return values


def _alignment(record: Mapping[str, Any]) -> dict[str, float]:
    return {f"alignment/{row['evaluation']}/{row['metric']}": row["trained"]["value"] for row in record["alignment"]}


def _cost(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the seconds of the computation, whenever and for whichever run it happened."""
    seconds = {"cost/training_seconds": training_seconds(record), "cost/scoring_seconds": scoring_seconds(record)}
    return {name: value for name, value in seconds.items() if value is not None}


def _evidence(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of the evidence; what is text or unknown is no scalar."""
    return {
        f"evidence/{name}/{key}": value
        for name, found in record["evidence"]["numbers"].items()
        for key, value in found["values"].items()
        if isinstance(value, int | float)
    }


def read_scores(folder: Path) -> NDArray[Any]:
    """Return the score of every document, [N] float32."""
    import pyarrow.parquet as pq

    scores: NDArray[Any] = pq.read_table(folder / "scores.parquet", columns=["score"])["score"].to_numpy()
    return scores


def pictures(folder: Path) -> dict[str, Path]:
    """Return `plots/<name>` -> PNG file of the run, sorted by name."""
    return {f"plots/{path.stem}": path for path in sorted((folder / "plots").glob("*.png"))}
