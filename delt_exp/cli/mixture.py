"""`python -m delt_exp.mixture MIXTURES.csv LOSSES.csv`: mixing laws of models trained elsewhere, and what they propose.

Both tables have a row for each trained model, named in the first column. The other columns of MIXTURES.csv are sources
with their shares, those of LOSSES.csv are evaluation sets with their losses. What all names of a table begin and end
with is left out; a set that then has the name of a source is one of that source's own domain.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from delt_exp.cli.reporting import parser_of, reporting
from delt_exp.config.fields import Count, check_value
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import disk_errors, written_aside
from delt_exp.mixture.runs import MixtureRuns, read_runs
from delt_exp.report.findings import Cell, Table
from delt_exp.report.tables import as_csv, as_markdown
from delt_exp.study.mixture.laws import Proposal, effects_table, laws_table, own_share_rank, proposal_table

ALPHA = 0.05


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = parser_of("mixture", __doc__)
    parser.add_argument("mixtures", type=Path, help="CSV: run, and the share of each source")
    parser.add_argument("losses", type=Path, help="CSV: run, and the loss on each evaluation set")
    parser.add_argument(
        "--objective",
        nargs="+",
        metavar="SET=WEIGHT",
        help="the weighted loss to minimise (default: the mean over all sets)",
    )
    parser.add_argument("--test", nargs=2, type=Path, metavar=("MIXTURES", "LOSSES"), help="other runs to rank")
    parser.add_argument("--bootstraps", type=int, default=200, help="for the intervals (%(default)s)")
    parser.add_argument("--tables", type=Path, metavar="FOLDER", help="where to write all tables as CSV")
    options = parser.parse_args(arguments)
    with reporting():
        print(run(options))


def run(options: argparse.Namespace) -> str:
    """Return what the command prints; raises ConfigError or DataError for what cannot be done."""
    check_value("--bootstraps", options.bootstraps, Count)
    runs = read_runs(options.mixtures, options.losses)
    weights_S = runs.weights(_objective(options.objective, runs), "--objective")
    own = {name: name if name in runs.sources else None for name in runs.sets}
    proposal = Proposal(runs, weights_S, own, options.bootstraps, ALPHA)
    tables = [proposal_table(proposal), laws_table(proposal)]
    if options.test:
        tables.append(ranks_table(proposal, read_runs(*options.test)))
    if options.tables:
        _write([*tables, effects_table(proposal)], options.tables)
    return "\n".join(f"{table.title}\n\n{as_markdown(table)}\n{table.note}\n" for table in tables)


def _write(tables: Sequence[Table], folder: Path) -> None:
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for table in tables:
            with written_aside(folder / f"{table.name}.csv") as aside:
                aside.write_text(as_csv(table), encoding="utf-8")


def ranks_table(proposal: Proposal, runs: MixtureRuns) -> Table:
    """Return how the losses of other runs rank by the laws, and by the share of the own domain.

    Raises DataError for runs with other sources or evaluation sets.
    """
    if set(runs.sources) != set(proposal.runs.sources) or not set(runs.sets) <= set(proposal.runs.sets):
        wrong = sorted({*runs.sources} ^ {*proposal.runs.sources} | {*runs.sets} - {*proposal.runs.sets})
        raise DataError(f"--test: {wrong[0]!r} is not in both pairs of tables; give runs on the same sources and sets")
    columns = [list(runs.sources).index(name) for name in proposal.runs.sources]
    laws = dict(zip(proposal.runs.sets, proposal.laws, strict=True))
    ranks: list[tuple[str, float, float | None]] = []
    for number, name in enumerate(runs.sets):
        predicted_R, own = laws[name].predict(runs.shares_RG[:, columns]), proposal.own[name]
        by_law = float(spearmanr(predicted_R, runs.losses_RS[:, number]).statistic)
        ranks.append((name, by_law, None if own is None else own_share_rank(runs, number, own)))
    shared = [rank for _, _, rank in ranks if rank is not None]
    rows: list[list[Cell]] = [list(row) for row in ranks]
    rows.append(["mean", float(np.mean([rank for _, rank, _ in ranks])), float(np.mean(shared)) if shared else None])
    note = (
        f"Spearman's correlation over {len(runs.shares_RG)} other runs: of their losses with what the laws of "
        f"{len(proposal.runs.shares_RG)} runs predict, and with the share of the own domain, which needs no training."
    )
    columns_shown = ["evaluation set", "rank by the law", "rank by own-domain share"]
    return Table("test", "How other runs rank", note, columns_shown, rows)


def _objective(texts: Sequence[str] | None, runs: MixtureRuns) -> dict[str, float]:
    if texts is None:
        return dict.fromkeys(runs.sets, 1.0)
    objective = {}
    for text in texts:
        name, _, weight = text.partition("=")
        try:
            objective[name] = float(weight)
        except ValueError:
            objective[name] = -1.0
        if not 0 <= objective[name] < float("inf"):
            raise ConfigError(f"--objective {text!r} is not SET=WEIGHT with a weight of at least 0; code=1 for example")
    return objective
