"""What a study or sweep prints at its end: the answer, the underlying table, and the path of the page."""

from dataclasses import replace
from pathlib import Path

from rich.markdown import Markdown

from delt_exp.progress import console, say
from delt_exp.report.findings import Findings, Table
from delt_exp.report.tables import as_markdown

MOST_ROWS = 20  # of a table; a longer one is read on the page
LONGEST_WORDS = 80  # characters of a cell; a longer one is a sentence


def without_sentences(table: Table) -> Table:
    """Return a table without its columns of whole sentences, which the answer already contains."""

    def is_short(column: int) -> bool:
        return all(not isinstance(row[column], str) or len(str(row[column])) <= LONGEST_WORDS for row in table.rows)

    kept = [column for column in range(len(table.columns)) if is_short(column)]
    rows = [[row[column] for column in kept] for row in table.rows]
    return replace(table, columns=[table.columns[column] for column in kept], rows=rows)


def tell(findings: Findings, page: Path) -> None:
    """Print answer, first table and page."""
    say(findings.answer)
    for table in findings.tables[:1]:
        if len(table.rows) <= MOST_ROWS:
            console.print(Markdown(as_markdown(without_sentences(table))), soft_wrap=False)
    say(f"study: {page}")
