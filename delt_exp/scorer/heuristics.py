"""The published rules of thumb of Gopher, C4 and FineWeb: how many of them a document breaks.

N documents, R rules.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import settings
from delt_exp.errors import ConfigError
from delt_exp.mapping.judge import ALL_TOKENS, TextBatch
from delt_exp.mapping.map_documents import map_texts
from delt_exp.ngrams.measures import MEASURES, MeasuredText
from delt_exp.quantity import Meaning
from delt_exp.scorer.base import Pool
from delt_exp.store.evidence import Evidence

Bounds = Sequence[float | None]


@settings
class HeuristicsScorer:
    """How many of `rules` a document breaks.

    rules: for each measure of a text (`delt_exp.ngrams.measures`) the least and the largest number that is allowed,
    either of them null for none; null for the pair switches the rule off. The evidence says of each rule how many
    documents break it. Raises ConfigError for a measure that there is not, and for bounds that nothing fits.
    """

    VERSION: ClassVar[int] = 2
    needs: ClassVar[frozenset[str]] = frozenset()
    rules: Mapping[str, Bounds | None]

    def __post_init__(self) -> None:
        for name, bounds in self.rules.items():
            if name not in MEASURES:
                raise ConfigError(f"scorer.rules.{name} is not a measure; the measures are {', '.join(MEASURES)}")
            if bounds is None:
                continue
            limits = [bound for bound in bounds if bound is not None]
            if len(bounds) != 2 or not limits or limits != sorted(limits):
                raise ConfigError(
                    f"scorer.rules.{name}={list(bounds)}: give the least and the largest allowed number, null for one "
                    "without a limit, or null in place of both to switch the rule off"
                )
        if not self._active():
            raise ConfigError("scorer.rules has no rule that is switched on; give bounds for at least one measure")

    def _active(self) -> dict[str, Bounds]:
        return {name: bounds for name, bounds in self.rules.items() if bounds is not None}

    @property
    def meaning(self) -> Meaning:
        explanation = f"How many of {len(self._active())} rules of thumb for web text the document breaks."
        return Meaning("broken rules", "rules", "lower", explanation)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        rules = self._active()
        judge = RulesJudge(tuple((name, bounds[0], bounds[1]) for name, bounds in rules.items()))
        shards = pool.work_dir / "shards"
        bits_N = map_texts(pool.resources, pool.candidates.corpus, pool.rows, judge, shards, "measuring")[:, 0]
        broken_N, broken_R = np.zeros(len(bits_N), np.float32), []
        for number in range(len(rules)):  # rule by rule: no array of documents times rules
            is_broken_N = (bits_N.astype(np.uint64) >> np.uint64(number) & np.uint64(1)).astype(np.bool_)
            broken_N += is_broken_N
            broken_R.append(int(is_broken_N.sum()))
        _show(pool.evidence, rules, broken_R, broken_N)
        return broken_N


def _show(evidence: Evidence, rules: Mapping[str, Bounds], broken_R: list[int], broken_N: NDArray[np.float32]) -> None:
    columns = {
        "rule": list(rules),
        "least": [bounds[0] for bounds in rules.values()],
        "largest": [bounds[1] for bounds in rules.values()],
        "documents": broken_R,
        "share": np.array(broken_R) / max(len(broken_N), 1),
    }
    caption = f"How many of {len(broken_N):,} documents break each rule: their measure is not within its bounds."
    evidence.table("rules", columns, caption)
    kept = int((broken_N == 0).sum())
    evidence.remark(f"{kept:,} of {len(broken_N):,} documents break none of the {len(rules)} rules.")


@dataclass(frozen=True)
class RulesJudge:
    """Says which rules a text breaks, as the bits of one whole number, which a float64 holds exactly up to 53 rules."""

    width: ClassVar[int] = 1
    dtype: ClassVar[str] = "float64"
    context_tokens: ClassVar[int] = ALL_TOKENS
    rules: tuple[tuple[str, float | None, float | None], ...]

    def open(self, device: str) -> Callable[[TextBatch], NDArray[np.float64]]:
        """Return the function; there is nothing to load."""
        return lambda batch: np.array([float(self.broken(text)) for text in batch.texts])

    def broken(self, text: str) -> int:
        """Return the bits: bit i is set where rule i is broken."""
        measured = MeasuredText(text)
        values = [MEASURES[name](measured) for name, _, _ in self.rules]
        return sum(
            1 << number
            for number, (value, (_, least, largest)) in enumerate(zip(values, self.rules, strict=True))
            if (least is not None and value < least) or (largest is not None and value > largest)
        )
