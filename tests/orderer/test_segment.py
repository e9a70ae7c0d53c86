"""segment takes its front and back from chosen ends of the score range."""

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.orderer.segment import segment
from delt_exp.rows.candidates import Candidates

IDS, SCORES = np.arange(20, dtype=np.uint64), np.arange(20, dtype=np.float32)
RANGES = {"low": set(range(3)), "high": set(range(17, 20))}


def make_segments(front_end, back_end, front_ratio=0.15, back_ratio=0.15, seed=0):
    settings = {"front_ratio": front_ratio, "back_ratio": back_ratio, "front_end": front_end, "back_end": back_end}
    order = segment(Candidates.ungrouped(IDS, SCORES), **settings, seed=seed)
    num_front, num_back = round(front_ratio * 20), round(back_ratio * 20)
    return order[:num_front], order[num_front : 20 - num_back], order[20 - num_back :]


@pytest.mark.parametrize(("front_end", "back_end"), [("low", "high"), ("high", "low")])
def test_front_and_back_are_the_opposite_ends(front_end, back_end):
    front, middle, back = make_segments(front_end, back_end)
    assert (set(front), set(middle), set(back)) == (RANGES[front_end], set(range(3, 17)), RANGES[back_end])


@pytest.mark.parametrize(("end", "pool"), [("low", set(range(5))), ("high", set(range(15, 20)))])
def test_front_and_back_of_the_same_end_split_its_extreme_at_random(end, pool):
    fronts = set()
    for seed in range(30):
        front, middle, back = make_segments(end, end, front_ratio=0.1, seed=seed)
        assert len(front) == 2
        assert set(front) | set(back) == pool
        assert set(middle) == set(range(20)) - pool
        fronts.add(frozenset(front.tolist()))
    assert len(fronts) > 5  # of 10 possible pairs


def test_each_segment_is_shuffled():
    for part in range(3):
        assert len({tuple(make_segments("low", "high", seed=seed)[part]) for seed in range(30)}) > 3


def test_the_sizes_are_rounded_down():
    order = segment(
        Candidates.ungrouped(IDS[:7], SCORES[:7]),
        front_ratio=0.3,
        back_ratio=0.2,
        front_end="low",
        back_end="high",
        seed=0,
    )
    assert set(order[:2]) == {0, 1}
    assert order[-1] == 6


@pytest.mark.parametrize(("front_ratio", "back_ratio"), [(0, 0), (1, 0), (0, 1), (0.5, 0.5)])
def test_segments_may_be_empty_or_leave_no_middle(front_ratio, back_ratio):
    front, middle, back = make_segments("low", "high", front_ratio, back_ratio)
    assert set(front) == set(range(len(front)))
    assert set(back) == set(range(20 - len(back), 20))
    assert len(front) + len(middle) + len(back) == 20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"front_ratio": 0.6, "back_ratio": 0.5}, "add up to more than 1"),
        ({"front_ratio": -0.1}, r"segment\.front_ratio=-0\.1"),
        ({"back_ratio": 1.1}, r"segment\.back_ratio=1\.1"),
        ({"front_end": "top"}, r"segment\.front_end='top'.*low, high"),
        ({"back_end": "bottom"}, r"segment\.back_end='bottom'.*low, high"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    settings = {"front_ratio": 0.1, "back_ratio": 0.1, "front_end": "low", "back_end": "high", "seed": 0}
    with pytest.raises(ConfigError, match=message):
        segment(Candidates.ungrouped(IDS, SCORES), **(settings | changes))
