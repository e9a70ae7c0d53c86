"""Decision accuracies that were measured, kept in the store, and the sentence by which the pages of studies cite them.

`<store>/decision_accuracy/NAME.csv` has a row for each small size, evaluation set and protocol. It is no stage: freeing
the store leaves it.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from delt_exp.errors import DataError
from delt_exp.files import disk_errors, written_aside
from delt_exp.report.numbers import compact, listed
from delt_exp.study.record import StudyRecord

FOLDER = "decision_accuracy"
LOSS = "loss"
SAME_ORDER = {"perplexity": LOSS, "bits_per_byte": LOSS}  # of two models with one tokenizer, on the same documents
TOLD = 3  # evaluation sets in the sentence
COMMAND = "python run.py study=decision"


@dataclass(frozen=True)
class Known:
    """How often `small` orders two arms as `large` does, both in parameters; dataset: what `metric` was measured on.

    protocol: of the small size's learning rate. low, high: of the interval. source: the study and what it varies, or
    the tables.
    """

    small: int
    large: int
    metric: str
    dataset: str
    protocol: str
    accuracy: float
    low: float
    high: float
    num_arms: int
    source: str


def write_known(store: Path, name: str, rows: Sequence[Known]) -> Path:
    """Write what one source says, in place of what it said before, and return the file."""
    path = store / FOLDER / f"{name}.csv"
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside, aside.open("w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Known)], lineterminator="\n")
            writer.writeheader()
            writer.writerows(asdict(row) for row in rows)
    return path


def read_known(store: Path) -> list[Known]:
    """Return what all sources say; raises DataError for a file that is no such table."""
    return [row for path in sorted((store / FOLDER).glob("*.csv")) for row in _read(path)]


def _read(path: Path) -> list[Known]:
    numbers = {"small": int, "large": int, "num_arms": int, "accuracy": float, "low": float, "high": float}
    with path.open(newline="") as file:
        try:
            rows = list(csv.DictReader(file, strict=True))
            return [Known(**{key: numbers.get(key, str)(value) for key, value in row.items()}) for row in rows]
        except (TypeError, ValueError, csv.Error) as error:
            raise DataError(
                f"{path} is not a table of decision accuracies ({error}); remove it and measure again"
            ) from error


def store_of(study: StudyRecord) -> Path | None:
    """Return the store that the runs of a study used; None where no run is finished."""
    for run in study.finished():
        for stage in (run.record() or {}).get("stages", []):
            if "path" in stage:
                return Path(stage["path"]).parents[1]
    return None


def trust(study: StudyRecord, metric: str) -> str:
    """Return a sentence that says how often verdicts at the size of the study's models are those of larger ones.

    It cites what was measured at the nearest size that is not larger, by the same metric and protocol; where nothing
    was, it says so and names the command. Empty for records that do not tell the size.
    """
    store, sizes = store_of(study), _sizes(study)
    if store is None or not sizes:
        return ""
    protocol, smallest = max(sizes, key=sizes.__getitem__)[0], min(size for _, size in sizes)
    found = nearest(read_known(store), smallest, metric, protocol)
    if not found:
        return (
            f"How often models of {compact(smallest)} parameters give the verdict of larger ones is not known; "
            f"{COMMAND} measures it."
        )
    first, shown = found[0], found[:TOLD]
    more = f"; {len(found) - TOLD} more evaluation sets were measured" if len(found) > TOLD else ""
    cells = [f"{one.dataset} {_percent(one)}" for one in shown]
    return (
        f"How far to trust this size: models of {compact(first.small)} parameters order two arms as those "
        f"of {compact(first.large)} do in {listed(cells)} of pairs ({first.source}, {first.num_arms} arms; "
        f"50 % is chance{more})."
    )


def nearest(rows: Sequence[Known], parameters: int, metric: str, protocol: str) -> list[Known]:
    """Return the rows of the nearest size that is not larger, against its largest size, of one source."""
    alike = [
        row
        for row in rows
        if SAME_ORDER.get(row.metric, row.metric) == SAME_ORDER.get(metric, metric)
        and row.protocol == protocol
        and row.small <= parameters
    ]
    if not alike:
        return []
    best = max(alike, key=lambda row: (row.small, row.large, row.num_arms))
    same = (best.small, best.large, best.source)
    return [row for row in alike if (row.small, row.large, row.source) == same]


def _sizes(study: StudyRecord) -> dict[tuple[str, int], int]:
    """Return how many runs have each protocol and size."""
    counts: dict[tuple[str, int], int] = {}
    for run in study.finished():
        training: Mapping[str, Any] = (run.record() or {}).get("training", {})
        if "parameters" in training:
            key = training.get("protocol", {}).get("name", "fixed"), int(training["parameters"])
            counts[key] = counts.get(key, 0) + 1
    return counts


def _percent(row: Known) -> str:
    return f"{100 * row.accuracy:.0f} % [{100 * row.low:.0f}, {100 * row.high:.0f}]"
