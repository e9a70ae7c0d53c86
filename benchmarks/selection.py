"""Selecting and ordering as rows of the table; `select_order.py` has the measurement."""

from benchmarks.select_order import NUM_RECORDS, compare, make_table, peak_gb, select_and_order, timed
from benchmarks.table import Row


def measure(quick: bool) -> list[Row]:
    """Return seconds and peak memory at 1e8 scores, and the ratio to sorting Python records."""
    num_rows, num_records = (1_000_000, 100_000) if quick else (100_000_000, NUM_RECORDS)
    seconds, _ = timed(select_and_order, *make_table(num_rows))
    peak = peak_gb()
    records_seconds, arrays_seconds = compare(*make_table(num_records))
    what, how = "select + order (folding)", f"{num_rows:,} random scores, half kept, 3 layers"
    return [
        Row(what, "-", seconds, "s", how, below=60.0),
        Row(what, "-", peak, "GB", f"{how}; peak memory of the process, inputs included", below=4.0),
        Row(what, "sorted Python records", records_seconds / arrays_seconds, "x", f"{num_records:,} scores"),
    ]
