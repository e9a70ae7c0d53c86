"""The table of runs: those that run first, then what needs a look, then what is done."""

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from delt_exp.report.numbers import seconds
from delt_exp.watch.runs import Run, sweep_left

ORDER = ("running", "failed", "stopped", "finished", "waiting")
STYLES = {"running": "cyan", "failed": "red", "stopped": "yellow", "finished": "green", "waiting": "dim"}


def table(runs: Sequence[Run], num_rows: int) -> Group:
    """Return a table for each study or sweep and one of single runs; at most `num_rows` rows, the rest is counted."""
    groups: dict[str, list[Run]] = {}
    for run in sorted(runs, key=_rank):
        groups.setdefault(run.group, []).append(run)
    parts: list[Table | Text] = []
    for group, members in sorted(groups.items(), key=lambda item: min(map(_rank, item[1]))):
        shown = members[: max(num_rows, 0)]
        num_rows -= len(shown)
        if shown:
            parts.append(_rows(shown))
        more = f"; {len(members) - len(shown)} not shown" if len(shown) < len(members) else ""
        parts.append(Text(f"{group or 'single runs'}: {_summary(members)}{more}\n"))
    return Group(*parts)


def _rank(run: Run) -> tuple[int, float, str]:
    return ORDER.index(run.state), -run.ended if run.state != "running" else 0.0, run.title


def _rows(runs: Sequence[Run]) -> Table:
    rows = Table("run", "state", "phase", "time", "left", "result", box=None, pad_edge=False)
    rows.columns[0].overflow = rows.columns[5].overflow = "fold"
    for run in runs:
        phase = f"{run.phase} of {len(run.phases)} {run.phases[run.phase - 1]}" if run.phase else ""
        left = "" if run.left is None or run.state != "running" else seconds(run.left)
        taken = seconds(run.seconds) if run.seconds else ""
        told = run.doing if run.state in ("running", "stopped") else run.result
        rows.add_row(Text(run.title), Text(run.state, STYLES[run.state]), Text(phase), taken, left, Text(told))
    return rows


def _summary(runs: Sequence[Run]) -> str:
    counts = [(state, sum(run.state == state for run in runs)) for state in ORDER]
    told = ", ".join(f"{count} {state}" for state, count in counts if count)
    left = sweep_left(runs)
    return f"{told} of {len(runs)}" + (f"; about {seconds(left)} left" if left is not None else "")
