"""Which result is better, item by item, and how sure.

    python -m delt_exp.compare BASELINE RESULT [RESULT ...]

A result is a folder that lm-eval wrote with --log_samples, the folder of a run (outputs/runs/NAME), or a table (.csv,
.jsonl, .parquet) with the columns item and value and, where there are several, seed, task and weight. NAME=PATH names
it; PATH,PATH,... are training runs of one result that differ in their seed, in the same order for every result. Each
result is compared with the first: per task, per group and over all tasks, where every task or group weighs the same.
Results that did not answer the same questions are refused.
"""

import argparse
from collections.abc import Sequence

from delt_exp.cli.reporting import check_alpha, parser_of, reporting, with_output
from delt_exp.compare.answers import Choice
from delt_exp.compare.arms import read_arms
from delt_exp.compare.verdicts import verdicts
from delt_exp.compare.words import lines, sentences
from delt_exp.files import disk_errors
from delt_exp.quantity import Direction


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    with reporting():
        print(run(options))


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("compare", __doc__)
    parser.add_argument("results", nargs="+", metavar="[NAME=]PATH", help="the baseline, then what is compared with it")
    parser.add_argument("--tasks", nargs="+", default=[], metavar="TASK", help="tasks or groups (default: all)")
    parser.add_argument("--metric", nargs="+", default=[], help="of lm-eval: the first of these that a task "
                        "has (default: acc_norm, acc, exact_match, else the task's first)")  # fmt: skip
    parser.add_argument("--filter", help="of lm-eval, such as strict-match (default: the task's first)")
    parser.add_argument("--cluster", metavar="COLUMN", help="items with an equal entry belong together, as "
                        "questions about one text: a column of tables, a field of lm-eval's documents")  # fmt: skip
    parser.add_argument("--any-prompt", action="store_true", help="allow different prompts about the same document")
    direction = parser.add_mutually_exclusive_group()
    direction.add_argument("--higher-is-better", dest="better", action="store_const", const="higher", help="of tables")
    direction.add_argument("--lower-is-better", dest="better", action="store_const", const="lower", help="of tables")
    return with_output(parser, "compare", "chance of any false claim")


def run(options: argparse.Namespace) -> str:
    """Return what the command prints; raises DeltError for what cannot be compared."""
    check_alpha(options.alpha)
    better: Direction | None = options.better
    choice = Choice(options.metric, options.filter, options.tasks, better, options.cluster, options.any_prompt)
    read = read_arms(options.results, choice)
    found = verdicts(read, options.alpha)
    # plotly takes half a second, which a refusal need not wait for.
    from delt_exp.compare.report import Report

    with disk_errors(options.out):
        options.out.mkdir(parents=True, exist_ok=True)
        page = Report(read, found, options.alpha).write(options.out)
    notes = [f"note: {note}" for note in read.notes]
    said = sentences([arm.name for arm in read.arms[1:]], found, options.alpha)
    return "\n".join([*said, *lines(found), *notes, f"page: {page}, tables: {options.out / 'tables'}"])
