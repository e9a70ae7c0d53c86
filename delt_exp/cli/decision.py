"""How often do small models give the same verdicts as large ones? From a table of outcomes, whoever trained them.

    python -m delt_exp.decision [SIZE=]TABLE [[SIZE=]TABLE ...] --large SIZE

A table (.csv, .jsonl, .parquet) has one row per training run with the columns arm (what is compared: a corpus, a
mixture, a method), size, outcome and, where there are several, seed and metric. Other names are given by options;
SIZE=TABLE is for a table without a column of sizes. Every other size is compared with the one of --large: the share of
pairs of arms that both put in the same order. All sizes must have the same arms.

With --store STORE (outputs/store, for example) what is found is kept there, and the pages of studies whose models are
at least as large cite it. Sizes must be numbers of parameters, such as 60M, and --measure says what the outcomes are.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from delt_exp.cli.reporting import check_alpha, parser_of, reporting, with_output
from delt_exp.decision.decisions import Decision, decisions, lines, signals, sizes
from delt_exp.decision.ladder import Columns, check_ladder, number, read_ladder, sized_path
from delt_exp.decision.report import findings
from delt_exp.errors import ConfigError
from delt_exp.files import digest, disk_errors
from delt_exp.study.trust import Known, write_known


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    with reporting():
        print(run(options))


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("decision", __doc__)
    parser.add_argument("tables", nargs="+", metavar="[SIZE=]TABLE", help="outcomes of training runs")
    parser.add_argument("--large", required=True, metavar="SIZE", help="the size whose verdicts are to be predicted")
    for name in ("arm", "size", "seed", "outcome", "metric"):
        parser.add_argument(f"--{name}", default=name, metavar="COLUMN", help=f"column of the {name} (%(default)s)")
    parser.add_argument("--wide", action="store_true", help="every other column is a metric, in place of --outcome")
    parser.add_argument("--store", type=Path, help="keep the accuracies in this store, for the pages of studies")
    parser.add_argument(
        "--measure", default="loss", metavar="METRIC", help="what outcomes are, with --store (%(default)s)"
    )
    return with_output(parser, "decision", "1 - level of intervals")


def run(options: argparse.Namespace) -> str:
    """Return what the command prints; raises DeltError for tables that decide nothing."""
    check_alpha(options.alpha)
    names = (options.arm, options.size, options.seed, options.outcome, options.metric)
    ladder = read_ladder(options.tables, Columns(*names, is_wide=options.wide))
    check_ladder(ladder, options.large)
    found, noise = decisions(ladder, options.large, options.alpha), signals(ladder, options.alpha)
    kept = None if options.store is None else _keep(options, found)
    # plotly takes half a second, which a refusal need not wait for.
    from delt_exp.study.page import rendered, write_pages

    written = findings(sizes(ladder), found, noise, options.large, options.alpha)
    question = f"How often does a smaller size give the verdict of {options.large}?"
    with disk_errors(options.out):
        options.out.mkdir(parents=True, exist_ok=True)
        page = write_pages(options.out, written, rendered("decision/decision.html.j2", written, question=question))
    told = [written.answer, *lines(found, noise), f"page: {page}, tables: {options.out / 'tables'}"]
    return "\n".join(told if kept is None else [*told, f"kept for the pages of studies: {kept}"])


def _keep(options: argparse.Namespace, found: Sequence[Decision]) -> Path:
    """Write the accuracies into a store; raises ConfigError for a size that is no number of parameters."""
    sizes_of = {one.size for one in found} | {options.large}
    parameters = {size: value for size in sizes_of if (value := number(size)) is not None}
    if wrong := sorted(sizes_of - parameters.keys()):
        raise ConfigError(
            f"--store: size {wrong[0]!r} is not a number of parameters; write it as 60M, or leave out --store"
        )
    paths = [*dict.fromkeys(sized_path(word)[1].absolute() for word in options.tables)]
    source = " and ".join(dict.fromkeys(path.name for path in paths))
    # What another command found, of tables of these names elsewhere or for another large size, stays.
    command = digest(list(map(str, paths)), options.outcome, options.large, options.measure)
    rows = [
        Known(
            int(parameters[one.size]), int(parameters[options.large]), options.measure, one.metric, "fixed",
            one.by_mean.value, one.by_mean.low, one.by_mean.high, one.num_arms, source,
        )
        for one in found
        if one.by_mean is not None
    ]  # fmt: skip
    return write_known(options.store, f"tables-{command[:8]}", rows)
