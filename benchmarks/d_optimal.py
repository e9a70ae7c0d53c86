"""Seconds and memory of greedy D-optimal picks, and the ratio to updating the inverse of V.

Features are like those of preference pairs: differences of unit vectors that lie around common directions.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.process import in_new_process
from benchmarks.table import Row, alternate, median_ratio, spread
from delt_exp.statistics.d_optimal import greedy_d_optimal
from delt_exp.store.memory import PeakMemory

RIDGE, NUM_DIRECTIONS, REPEATS = 1.0, 200, 5
Features = NDArray[np.float32]


def unit(rows_NK: Features) -> Features:
    """Return rows of length 1."""
    rows_NK /= np.linalg.norm(rows_NK, axis=1, keepdims=True)
    return rows_NK


def make_features(num_pairs: int, num_features: int) -> Features:
    """Return differences of the unit vectors of two responses [N, K], each with a cosine of 0.6 to one of a few."""
    rng = np.random.default_rng(0)
    directions_DK = unit(rng.standard_normal((NUM_DIRECTIONS, num_features), dtype=np.float32))

    def responses() -> Features:
        of_their_own_NK = unit(rng.standard_normal((num_pairs, num_features), dtype=np.float32))
        of_their_own_NK *= np.float32(0.8)
        of_their_own_NK += np.float32(0.6) * directions_DK[rng.integers(NUM_DIRECTIONS, size=num_pairs)]
        return unit(of_their_own_NK)

    features_NK = responses()
    features_NK -= responses()
    return features_NK


def pick_by_inverse(features_NK: Features, count: int) -> list[int]:
    """Pick by the definition, with V^-1 updated by each pick (Sherman and Morrison 1950)."""
    features_NK, picks = features_NK.astype(np.float64), []
    inverse_KK = np.eye(features_NK.shape[1]) / RIDGE
    squares_N = np.einsum("nk,nk->n", features_NK, features_NK) / RIDGE
    for _ in range(count):
        best = int(squares_N.argmax())
        picks.append(best)
        step_K = inverse_KK @ features_NK[best] / np.sqrt(1 + squares_N[best])
        inverse_KK -= np.outer(step_K, step_K)
        squares_N -= np.square(features_NK @ step_K)
        squares_N[picks] = -1
    return picks


def cpu_seconds(function: Callable[[], Any]) -> float:
    """Return the CPU seconds of a call."""
    started = time.process_time()
    function()
    return time.process_time() - started


def measured(num_pairs: int, num_features: int, count: int) -> tuple[float, float, float]:
    """Return seconds, CPU seconds, and the gigabytes that picking takes beside the features."""
    features_NK, peak = make_features(num_pairs, num_features), PeakMemory()
    started, cpu_started = time.perf_counter(), time.process_time()
    with peak.measure():
        greedy_d_optimal(features_NK, count, ridge=RIDGE)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    with (empty := PeakMemory()).measure():
        pass
    return seconds, cpu, (peak.resident_bytes - empty.resident_bytes) / 1e9


def against_inverse(num_pairs: int, num_features: int, count: int) -> list[list[float]]:
    """Return the CPU seconds of either way, in turns; raises if the two pick others."""
    features_NK = make_features(num_pairs, num_features)
    rows, _ = greedy_d_optimal(features_NK, count, ridge=RIDGE)
    if rows.tolist() != pick_by_inverse(features_NK, count):
        raise SystemExit("the two ways of picking pick different pairs")
    with threadpool_limits(1):
        return alternate(
            REPEATS,
            lambda: cpu_seconds(lambda: pick_by_inverse(features_NK, count)),
            lambda: cpu_seconds(lambda: greedy_d_optimal(features_NK, count, ridge=RIDGE)),
        )


def measure(quick: bool) -> list[Row]:
    """Return the rows for the machine at hand."""
    sizes = (1_000, 512, 50) if quick else (10_000, 8_192, 500)
    smaller = (500, 256, 50) if quick else (5_000, 1_024, 200)
    seconds, cpu, gb = in_new_process(measured, *sizes)
    times = in_new_process(against_inverse, *smaller)
    num_pairs, num_features, count = sizes
    what, how = f"{count} D-optimal picks", f"of {num_pairs:,} pairs with {num_features:,} float32 features"
    of_smaller = f"{smaller[2]} picks of {smaller[0]:,} pairs, {smaller[1]:,} features; CPU time, {spread(*times)}"
    matrix_gb = num_features**2 * 8 / 1e9
    return [
        Row(what, "-", seconds, "s", how, below=10.0),
        Row(what, "-", cpu, "CPU s", how, below=10.0),
        Row(what, "a K x K matrix", gb / matrix_gb, "x memory", f"{gb * 1000:.0f} MB beside the features", below=1.0),
        Row("D-optimal picks", "updating the inverse", median_ratio(*times), "x time", of_smaller, at_least=1.0),
    ]
