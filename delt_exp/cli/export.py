"""`python -m delt_exp.export`: the kept documents of a run, in training order, for other trainers.

RUN is the folder of a finished run, or of one with stop_after=order. An export that was interrupted continues when the
command is repeated. --settings prints the settings that keep the order in LLaMA-Factory or axolotl.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from delt_exp.cli.reporting import parser_of, reporting
from delt_exp.errors import ConfigError
from delt_exp.export.card import counted_shards
from delt_exp.export.formats import FORMATS
from delt_exp.export.source import Ordered
from delt_exp.export.trainers import SETTINGS, check_format
from delt_exp.export.writing import export
from delt_exp.progress import say


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    with reporting():
        if options.shard_mb < 1:
            raise ConfigError(f"--shard-mb {options.shard_mb}: give at least 1")
        if options.fields and options.to == "bin":
            raise ConfigError("--fields is for records, and --to bin is a stream of tokens: leave one of them out")
        most = FORMATS[options.to].max_shard_bytes
        if most is not None and options.shard_mb * 10**6 > most:
            raise ConfigError(
                f"--shard-mb {options.shard_mb}: shards of --to {options.to} hold at most {most // 10**6}"
            )
        if options.settings:
            check_format(options.to)
        source = Ordered.of_run(options.run)
        card = export(
            source,
            options.to,
            options.out,
            shard_bytes=options.shard_mb * 10**6,
            with_tokens=options.tokens,
            with_fields=options.fields,
        )
        say(f"{card['documents']:,} documents in {counted_shards(card)}: {options.out}")
        for name in options.settings:
            print(SETTINGS[name](card, options.out))


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("export", __doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--to",
        choices=[*FORMATS],
        required=True,
        help="format; bin is a stream of token ids, mds is MosaicML streaming",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--shard-mb", type=int, default=256, help="megabytes of a shard (%(default)s)")
    parser.add_argument("--tokens", action="store_true", help="add input_ids and labels, by the tokenizer of the run")
    parser.add_argument("--fields", action="store_true", help="add the original record, as JSON in a column `fields`")
    parser.add_argument(
        "--settings",
        choices=[*SETTINGS],
        action="append",
        default=[],
        help="print the settings that keep the order in a trainer",
    )
    return parser
