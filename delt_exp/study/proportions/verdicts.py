"""Is the estimate nearer to the truth than guesses that ask no model, and than its negative control?"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from delt_exp.proportions.shares import total_variation
from delt_exp.report.findings import Cell, Difference, Table
from delt_exp.statistics.families import DETECTABLE, Comparison, holm_by_key
from delt_exp.statistics.paired import MetricArm
from delt_exp.study.comparison.outcomes import compare_paired
from delt_exp.study.proportions.detection import WORDS, Detection, value_of

ESTIMATE = "soft"
EQUAL, OTHER = "equal shares", "the estimate of another mixture"


def verdicts(detections: Sequence[Detection], honest: str, alpha: float) -> dict[str, Comparison]:
    """Return the corrected estimate at temperature `honest` less each rival, means over mixtures paired by seed.

    Rivals: equal shares of all domains; what the estimate says of the other mixtures, which knows everything but which
    mixture it is about; the distribution of the first token, which needs no texts; other temperatures. One family.
    """
    own = {(one.mixture, one.seed): one for one in detections if one.temperature == honest}
    subject = _arm(WORDS[ESTIMATE], own, lambda one: one.off(ESTIMATE))
    rivals = {
        EQUAL: _arm(EQUAL, own, lambda one: _off(one, dict.fromkeys(one.truth, 1 / len(one.truth)))),
        OTHER: _arm(OTHER, own, lambda one: _elsewhere(one, own)) if len({name for name, _ in own}) > 1 else None,
        WORDS["first_token"]: _arm(WORDS["first_token"], own, lambda one: one.off("first_token")),
    }
    for temperature in dict.fromkeys(one.temperature for one in detections):
        if temperature != honest:
            drawn = {(one.mixture, one.seed): one for one in detections if one.temperature == temperature}
            name = f"the same at temperature {temperature}"
            rivals[name] = _arm(name, drawn, lambda one: one.off(ESTIMATE))
    pairs = {name: compare_paired(subject, rival, alpha) for name, rival in rivals.items() if subject and rival}
    return holm_by_key({name: pair for name, pair in pairs.items() if pair is not None})


def verdicts_table(pairs: Mapping[str, Comparison]) -> Table:
    """Return one row for each rival of the corrected estimate."""
    rows: list[Sequence[Cell]] = [
        [name, pair.verdict, Difference.of(pair), pair.p_holm, pair.detectable] for name, pair in pairs.items()
    ]
    note = (
        "Total variation to the truth of the corrected estimate minus that of each rival, means over mixtures, paired "
        f"over seeds; lower is better. Verdicts after Holm's correction ({len(rows)} comparisons). {DETECTABLE}"
    )
    columns = ["rival", "the estimate is", "minus the rival", "p (Holm)", "minimum detectable effect"]
    return Table("verdicts", "Does the estimate beat what asks no model?", note, columns, rows, is_answer=True)


def _arm(
    name: str, detections: Mapping[tuple[str, int], Detection], off: Callable[[Detection], float]
) -> MetricArm | None:
    """Return the mean over mixtures on every seed that has them all; None with fewer than two such seeds."""
    mixtures = {mixture for mixture, _ in detections}
    by_seed: dict[int, list[float]] = {}
    for (_, seed), one in detections.items():
        by_seed.setdefault(seed, []).append(off(one))
    means = {seed: float(np.mean(values)) for seed, values in sorted(by_seed.items()) if len(values) == len(mixtures)}
    values_S = np.array(list(means.values()))
    return MetricArm(name, tuple(means), values_S, "lower", "total variation") if len(means) > 1 else None


def _off(one: Detection, shares: Mapping[str, float]) -> float:
    return total_variation(np.array(list(one.truth.values())), np.array([shares[label] for label in one.truth]))


def _elsewhere(one: Detection, own: Mapping[tuple[str, int], Detection]) -> float:
    """Return how far the estimates of the same seed for other mixtures are off, the mean; nan without any yet."""
    others = [other for (mixture, seed), other in own.items() if seed == one.seed and mixture != one.mixture]
    found = [{label: value_of(share) for label, share in other.shares[ESTIMATE].items()} for other in others]
    return float(np.mean([_off(one, shares) for shares in found])) if found else float("nan")
