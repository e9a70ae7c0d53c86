"""What a run or a forecast prints at its end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from delt_exp.files import read_json
from delt_exp.model.cost import PhaseCost, total
from delt_exp.progress import console
from delt_exp.report.answer import first_sentence, limits, sources, why_none
from delt_exp.report.prepared import STOPPED, headline


def show_run(folder: Path) -> None:
    """Print the results of a finished run, or how far it came that was to stop, and where its page is."""
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


def show_costs(costs: list[PhaseCost]) -> None:
    """Print what each phase will cost."""

    table = Table("phase", title="Estimated cost with an empty cache", title_justify="left")
    for name in ("passes", "FLOPs", "memory"):
        table.add_column(name, justify="right")
    for cost in [*costs, total(costs)]:
        table.add_row(cost.phase, f"{cost.passes:,}", f"{cost.flops:.2g}", f"{cost.peak_bytes / 1e9:.2f} GB")
    console.print(table)
    console.print("Add about 0.5 GB of memory per process for Python and its libraries.")
    console.print("Selected documents are estimated with placeholder scores.")


def _results_tables(record: dict[str, Any]) -> Iterator[Table]:
    """One table for each set of metrics: a row a dataset, a column a metric, each value with its standard error."""
    cells: dict[str, dict[str, str]] = {}
    for row in record["results"]:
        error = "" if row["stderr"] is None else f" ± {row['stderr']:.2g}"
        cells.setdefault(row["dataset"], {})[row["metric"]] = f"{row['value']:.4g}{error}"
    tables: dict[tuple[str, ...], Table] = {}
    for dataset, values in cells.items():
        if (metrics := tuple(values)) not in tables:
            title = None if tables else record["name"]
            tables[metrics] = Table("dataset", *metrics, title=title, title_justify="left")
        tables[metrics].add_row(dataset, *values.values())
    yield from tables.values()
