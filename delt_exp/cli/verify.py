"""`python -m delt_exp.verify`: whether a training run played the order of an export.

AUDIT is the folder that OrderAudit wrote; EXPORT was written by `python -m delt_exp.export` with --tokens, one document
a sequence, or --to bin. Ends with status 1 and the first step that departs from the order, and how.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from delt_exp.cli.reporting import reporting
from delt_exp.verify.expected import expected_digests
from delt_exp.verify.played import read_audit
from delt_exp.verify.verdict import judge


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    with reporting():
        played = read_audit(options.audit)
        order = expected_digests(
            options.export, max_tokens=options.max_tokens, sequence_tokens=options.sequence_tokens
        )
        verdict = judge(played, order, options.batch_samples)
    print(verdict)
    if verdict.departure:
        raise SystemExit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m delt_exp.verify", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("audit", type=Path, metavar="AUDIT", help="folder of the audit")
    parser.add_argument("export", type=Path, metavar="EXPORT", help="folder of the export")
    parser.add_argument("--max-tokens", type=int, help="where the trainer cut long documents")
    parser.add_argument("--sequence-tokens", type=int, help="length of the sequences of a stream (--to bin)")
    parser.add_argument("--batch-samples", type=int, help="samples of an optimizer step over all processes")
    return parser
