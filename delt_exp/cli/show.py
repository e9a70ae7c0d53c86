"""What a run or a forecast prints at its end."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from delt_exp.dry_run import Preview, ReadSet
from delt_exp.files import read_json
from delt_exp.model.cost import PhaseCost, total
from delt_exp.progress import console
from delt_exp.report import numbers
from delt_exp.report.answer import first_sentence, limits, sources, why_none
from delt_exp.report.facts import all_results
from delt_exp.report.prepared import STOPPED, headline

SAMPLE_CHARS = 400  # of the document that a dry run shows


def show_run(folder: Path) -> None:
    """Print the results of a finished run, or of one that was to stop early, and the path of its page."""
    if (folder / STOPPED).exists():
        console.print(headline(read_json(folder / STOPPED)), markup=False)
        console.print(f"report: {folder / 'report.html'}", markup=False)
        return
    record: dict[str, Any] = read_json(folder / "record.json")
    for sentence in filter(None, (first_sentence(record), sources(record), limits(record), why_none(record))):
        console.print(sentence, markup=False)
    if record["results"]:
        console.print(*_results_tables(record), sep="\n")
    stages, latest = record["stages"], (record["reused_by"] or [record])[-1]
    reused = len(stages) - len(latest["computed"]) if record["reused_by"] else sum(stage["cached"] for stage in stages)
    verdict = "verified" if record["order_verified"] else "NOT VERIFIED"
    console.print(f"{len(stages)} stages, {reused} of them cached; order {verdict}; {latest['seconds']:.0f} s")
    console.print(f"report: {folder / 'report.html'}", markup=False)


def show_preview(found: "Preview") -> None:
    """Print what was read, a document as the model sees it, what is in the store, and what the rest will cost."""
    console.print(_sets_table(found.sets))
    sample = found.sample if len(found.sample) <= SAMPLE_CHARS else f"{found.sample[:SAMPLE_CHARS]} ..."
    console.print("The first candidate as the model sees it:", markup=False)
    console.print(f"  {sample!r}", markup=False)
    console.print(f"In the store: {', '.join(found.cached) or 'neither scores nor a model of this run'}", markup=False)
    console.print(_costs_table(found.costs))
    if found.seconds is not None:
        console.print(
            f"About {numbers.seconds(found.seconds)} with an empty cache, at the speed of a training step here."
        )
    console.print("Add about 0.5 GB of memory per process for Python and its libraries.")
    console.print("Selected documents are estimated with placeholder scores.")


def _sets_table(sets: Sequence["ReadSet"]) -> Table:
    table = Table("set", title="What was read", title_justify="left")
    for name in ("documents", "tokens"):
        table.add_column(name, justify="right")
    table.add_column("of the files")
    for one in sets:
        counts = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in one.counts.items() if count)
        table.add_row(one.name, f"{one.documents:,}", f"{one.tokens:,}", counts)
    return table


def _costs_table(costs: list[PhaseCost]) -> Table:
    table = Table("phase", title="Estimated cost with an empty cache", title_justify="left")
    for name in ("passes", "FLOPs", "memory"):
        table.add_column(name, justify="right")
    for cost in [*costs, total(costs)]:
        table.add_row(cost.phase, f"{cost.passes:,}", f"{cost.flops:.2g}", f"{cost.peak_bytes / 1e9:.2f} GB")
    return table


def _results_tables(record: dict[str, Any]) -> Iterator[Table]:
    """One table for each set of metrics: a row a dataset, a column a metric, each value with its standard error."""
    cells: dict[str, dict[str, str]] = {}
    for row in all_results(record):
        error = "" if row["stderr"] is None else f" ± {row['stderr']:.2g}"
        cells.setdefault(row["dataset"], {})[row["metric"]] = f"{row['value']:.4g}{error}"
    tables: dict[tuple[str, ...], Table] = {}
    for dataset, values in cells.items():
        if (metrics := tuple(values)) not in tables:
            title = None if tables else record["name"]
            tables[metrics] = Table("dataset", *metrics, title=title, title_justify="left")
        tables[metrics].add_row(dataset, *values.values())
    yield from tables.values()
