"""What a study or sweep prints at its end: the answer, the underlying table, and the path of the page."""

from pathlib import Path

from rich.markdown import Markdown

from delt_exp.progress import console, say
from delt_exp.report.findings import Findings
from delt_exp.report.tables import as_markdown

MOST_ROWS = 20  # of a table; a longer one is read on the page


def tell(findings: Findings, page: Path) -> None:
    """Print answer, first table and page."""
    say(findings.answer)
    for table in findings.tables[:1]:
        if len(table.rows) <= MOST_ROWS:
            console.print(Markdown(as_markdown(table)), soft_wrap=False)
    say(f"study: {page}")
