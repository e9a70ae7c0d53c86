"""Which pairs are cut, and whether an answer as long as its response can be written. R pairs."""

import numpy as np

from delt_exp.errors import ConfigError
from delt_exp.scorer.data_whisperer.metrics import Metric
from delt_exp.scorer.data_whisperer.survey import PairLengths
from delt_exp.store.evidence import Evidence

MOST = 0.1  # share of cut pairs above which the run warns


def show_cuts(evidence: Evidence, shown: PairLengths, asked: PairLengths | None) -> None:
    """Leave which share of the demonstrations, and of queries whose responses are read, is cut; warn of a large one."""
    for name, pairs in (("demonstrations", shown), ("queries", asked)):
        if pairs is None:
            continue
        share, rows = float(pairs.is_cut_N[pairs.rows].mean()), pairs.rows
        evidence.numbers(f"cut_{name}", {f"share of {name} cut": share}, "Of a cut one the end is not read.")
        if share > MOST:
            longer_R = np.maximum(pairs.question_N[rows], pairs.response_N[rows])
            fits = 2 * int(np.quantile(longer_R, 1 - MOST, method="higher"))
            evidence.warn(
                f"{share:.0%} of the {name} are cut, so that the model does not see how their responses end; use "
                f"scorer.context_tokens={fits}, which {1 - MOST:.0%} of them fit into"
            )


def check_written(evidence: Evidence, asked: PairLengths, metric: Metric, max_new_tokens: int) -> None:
    """Leave which share of the responses has more tokens than a judge writes, and warn of a large one.

    Raises ConfigError where no answer could be right.
    """
    lengths_R, has_mark_R = asked.response_N[asked.rows], asked.has_mark_N[asked.rows]
    too_long_R = lengths_R > max_new_tokens
    if metric == "exact" and (too_long_R & ~has_mark_R).all():
        raise ConfigError(
            f"scorer.metric=exact compares an answer with the whole response, which has {lengths_R.min()} tokens at "
            f"least, and scorer.max_new_tokens={max_new_tokens} are written: none could be right; use "
            f"scorer.max_new_tokens={lengths_R.max()}, or scorer.metric=prob"
        )
    share = float(too_long_R.mean())
    shares: dict[str, float | str | None] = {"share of responses with more tokens than are written": share}
    evidence.numbers("written", shares, "An answer of the same length is stopped before its end.")
    if share > MOST:
        fits = int(np.quantile(lengths_R, 1 - MOST, method="higher"))
        evidence.warn(
            f"{share:.0%} of the responses of queries have more than scorer.max_new_tokens={max_new_tokens} tokens, so "
            f"that an answer of the same length is stopped before its end; use scorer.max_new_tokens={fits}"
        )
