"""`python -m delt_exp.verify`: whether a trainer read an export in its order.

AUDIT is the folder that `delt_exp.certificate.OrderAudit` wrote, EXPORT the folder that was trained on. The first line
of the answer is `verified`, or how training departed from the plan and at which step; then the status is 1.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from delt_exp.cli.reporting import parser_of, reporting
from delt_exp.errors import ConfigError
from delt_exp.verify.compare import compare
from delt_exp.verify.planned import planned
from delt_exp.verify.recorded import read_audit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    with reporting():
        for name in ("context", "epochs", "max_tokens"):
            if (value := getattr(options, name)) is not None and value < 1:
                raise ConfigError(f"--{name.replace('_', '-')} {value}: give at least 1")
        read = read_audit(options.audit)
        plan = planned(
            options.export,
            context=options.context,
            tokenizer=options.tokenizer,
            append_eos=options.append_eos,
            max_tokens=options.max_tokens,
        )
        finding = compare(read, plan, options.epochs)
    print(f"{finding.kind} at step {finding.step}: {finding.sentence}" if finding.kind else finding.sentence)
    if finding.kind:
        raise SystemExit(1)


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("verify", __doc__)
    parser.add_argument("audit", type=Path, metavar="AUDIT", help="folder of the audit")
    parser.add_argument("export", type=Path, metavar="EXPORT", help="folder of the export")
    parser.add_argument(
        "--context", type=int, help="training joins documents and cuts them into sequences of this many tokens"
    )
    parser.add_argument("--epochs", type=int, default=1, help="how often the export was to be trained (%(default)s)")
    parser.add_argument("--tokenizer", help="name or folder of the tokenizer, for an export without --tokens")
    parser.add_argument(
        "--append-eos", action="store_true", help="training added the tokenizer's end-of-text token to every document"
    )
    parser.add_argument(
        "--max-tokens",
        type=int,
        help="documents were cut after this many tokens, special ones and that of --append-eos counted",
    )
    return parser
