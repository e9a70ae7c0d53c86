"""Seconds and memory of selecting and ordering, and the ratio to sorting Python records.

    python benchmarks/select_order.py [--rows 100000000]

Prints the time and the peak resident memory of `top_r` (half) and `folding` (3 layers) over random float32 scores, and
then, on 1e6 documents, the same against a list of records that is sorted by a key and sliced, as the released DELT code
does it. The two sides alternate, and their medians are compared.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.orderer.folding import folding
from delt_exp.rows.candidates import Candidates
from delt_exp.selector.top_r import top_r

RATIO, NUM_LAYERS = 0.5, 3
NUM_RECORDS, NUM_REPEATS = 1_000_000, 5
Table = tuple[NDArray[np.uint64], NDArray[np.float32]]
Record = dict[str, Any]


def make_table(num_rows: int) -> Table:
    """Return random ids and scores."""
    rng = np.random.default_rng(0)
    return rng.integers(2**64, size=num_rows, dtype=np.uint64), rng.random(num_rows, dtype=np.float32)


def select_and_order(ids: NDArray[np.uint64], scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the rows to train, in sequence."""
    candidates = Candidates.ungrouped(ids, scores)
    kept = top_r(candidates, unit="documents", ratio=RATIO)
    return kept[folding(candidates.take(kept), num_layers=NUM_LAYERS, ascending=True)]


def select_and_order_records(records: list[Record]) -> list[Record]:
    """Return the records to train, in sequence."""
    kept = sorted(records, key=lambda record: record["score"])[-int(RATIO * len(records)) :]
    ranked = sorted(kept, key=lambda record: record["score"])
    return [record for layer in range(NUM_LAYERS) for record in ranked[layer::NUM_LAYERS]]


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Return the seconds of a call and its result."""
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def peak_gb() -> float:
    """Return the peak resident memory of this process in 1e9 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def compare(ids: NDArray[np.uint64], scores: NDArray[np.float32]) -> tuple[float, float]:
    """Return the median seconds of records and of arrays; raises if the two train other scores."""
    columns = zip(ids.tolist(), scores.tolist(), strict=True)
    records = [{"id": document_id, "score": score} for document_id, score in columns]
    seconds: list[tuple[float, float]] = []
    for _ in range(NUM_REPEATS):
        records_seconds, ordered = timed(select_and_order_records, records)
        arrays_seconds, order = timed(select_and_order, ids, scores)
        seconds.append((records_seconds, arrays_seconds))
    if [record["score"] for record in ordered] != scores[order].tolist():
        raise SystemExit("records and arrays give different sequences of scores")
    medians = [statistics.median(side) for side in zip(*seconds, strict=True)]
    return medians[0], medians[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000_000, help="documents of the large run")
    num_rows = parser.parse_args().rows
    table = make_table(num_rows)
    inputs_gb = peak_gb()
    seconds, _ = timed(select_and_order, *table)
    print("| documents | what | seconds | peak memory |\n|---|---|---|---|")
    print(f"| {num_rows:,} | arrays | {seconds:.2f} | {peak_gb():.2f} GB, of which inputs {inputs_gb:.2f} GB |")
    del table
    records_seconds, arrays_seconds = compare(*make_table(NUM_RECORDS))
    print(f"| {NUM_RECORDS:,} | sorted Python records | {records_seconds:.3f} | |")
    print(f"| {NUM_RECORDS:,} | arrays | {arrays_seconds:.3f} | {records_seconds / arrays_seconds:.1f} times as fast |")


if __name__ == "__main__":
    main()
