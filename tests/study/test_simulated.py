"""Studies with known truth: few false verdicts after Holm, promised effects are found, intervals cover."""

import numpy as np
import pytest

from benchmarks.map_power import Size, count
from delt_exp.statistics.paired import MetricArm
from delt_exp.study.schedules.crossed import Order, crossed

pytestmark = pytest.mark.slow


def test_the_map_makes_few_false_verdicts_and_claims_and_finds_what_its_power_promises():
    """At the nominal 0.05, more than 8 of 60 have a probability below 0.01."""
    counts = count(Size(tasks=2, scorers=6), 60, seed=1)
    assert counts.false_verdicts <= 8
    assert counts.false_claims <= 8
    assert counts.promised > 100
    assert counts.kept / counts.promised > 0.8
    assert 0.93 < counts.covered / counts.intervals < 0.97


def cells(draws, effect):
    """Orders under schedules, five seeds; `effect`: what sorting gains under a constant rate."""
    found, shared_S = {}, draws.normal(0, 0.1, 5)
    for schedule in ("cosine", "wsd", "constant"):
        orders = [
            Order("shuffle", "random"),
            *(Order(o, s) for o in ("sorting", "folding") for s in ("dsir", "permuted")),
        ]
        for order in orders:
            gain = effect if (schedule, order) == ("constant", Order("sorting", "dsir")) else 0.0
            values_S = 5 - gain + shared_S + draws.normal(0, draws.uniform(0.02, 0.1), 5)
            found[schedule, order] = MetricArm(f"{order} {schedule}", tuple(range(5)), values_S, "lower", "nats")
    return found


def judged(draws, effect):
    return crossed(cells(draws, effect), Order("shuffle", "random"), "cosine", "permuted", 0.05)


def test_crossed_schedules_make_few_false_verdicts_in_each_family():
    """100 studies without any effect; more than 12 false ones have a probability below 0.002."""
    found = [judged(np.random.default_rng([2, n]), 0.0) for n in range(100)]
    for family in ("gains", "controls", "placebos", "interactions"):
        assert sum(any(pair.is_clear for pair in getattr(one, family).values()) for one in found) <= 12


def test_a_planted_change_of_a_gain_is_found_where_it_was_planted():
    found = [judged(np.random.default_rng([3, n]), 2.0) for n in range(20)]
    hits = [one.interactions["constant", Order("sorting", "dsir")] for one in found]
    assert sum(pair.is_better for pair in hits) >= 16
