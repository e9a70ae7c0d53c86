"""The digests that an export, trained in order, would leave."""

from pathlib import Path

import numpy as np

from delt_exp.certificate.digests import Digests, digest_of, digests_of_rows
from delt_exp.errors import ConfigError
from delt_exp.export.reading import read_card, read_records, read_stream

ROWS = 4096  # of a token stream in memory at once


def expected_digests(export: Path, *, max_tokens: int | None, sequence_tokens: int | None) -> Digests:
    """Return the [N] digests in the order of an export.

    Of records: one document is one sequence, cut after `max_tokens`. Of a stream (`bin`): the whole sequences of
    `sequence_tokens`; what is left over at the end makes none. Raises ConfigError where the export has no tokens.
    """
    card = read_card(export)
    if card["format"] == "bin":
        if sequence_tokens is None or sequence_tokens < 1:
            raise ConfigError("give --sequence-tokens, the length of the sequences that the stream was cut into")
        return _of_stream(export, sequence_tokens)
    if "input_ids" not in card["columns"]:
        raise ConfigError(f"{export} has no tokens to compare with; export again with --tokens, or --to bin")
    rows = (np.asarray(record["input_ids"][:max_tokens], np.int64) for record in read_records(export))
    return np.fromiter((digest_of(ids) for ids in rows), np.uint64)


def _of_stream(export: Path, sequence_tokens: int) -> Digests:
    stream = read_stream(export)
    num_rows = len(stream) // sequence_tokens
    if num_rows == 0:
        raise ConfigError(f"--sequence-tokens {sequence_tokens}: the stream has only {len(stream)} tokens")
    rows = stream[: num_rows * sequence_tokens].reshape(num_rows, sequence_tokens)
    return np.concatenate([digests_of_rows(rows[first : first + ROWS]) for first in range(0, num_rows, ROWS)])
