"""The time left of a run, worked out by hand from the operations of its phases and the pace of training."""

import pytest

from delt_exp import progress
from delt_exp.steps import time_left
from delt_exp.steps.journal import PHASES
from delt_exp.steps.time_left import TimeLeft

COSTS = {"score": 300.0, "warm start": 100.0, "train": 200.0, "baseline": 400.0}


class Clock:
    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (time_left, progress):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def left(clock):
    made = TimeLeft(PHASES, is_told=True, num_rates=1)
    made.costs = lambda: COSTS
    return made


def advance(left, clock, task, done, seconds):
    clock.now += seconds
    task.done = done
    left.saw(task)


def test_nothing_is_told_before_the_pace_is_known_and_nothing_is_forecast(left):
    left.costs = lambda: pytest.fail("a run that reuses everything forecasts nothing")
    left.enter("score")
    assert left.seconds() is None
    assert left.in_words() == ""


def test_a_warm_start_tells_the_pace_of_all_that_follows(left, clock):
    left.enter("score")
    task = progress.Task("training", 50, "steps")
    left.saw(task)
    advance(left, clock, task, 25, 10)  # half of 100 in 10 s: 5 a second
    assert left.seconds() == pytest.approx((300 / 5 - 10) + 200 / 5 + 400 / 5)
    advance(left, clock, task, 50, 10)
    clock.now += 1000  # scoring takes longer than its forecast: what follows is left
    assert left.seconds() == pytest.approx(200 / 5 + 400 / 5)


def test_what_is_at_hand_is_never_left_out(left, clock):
    """Of scoring, which has taken longer than its forecast already, a piece is one quarter done after 20 s."""
    left.enter("score")
    warm_start = progress.Task("training", 50, "steps")
    left.saw(warm_start)
    advance(left, clock, warm_start, 25, 10)  # half of 100 in 10 s: 5 a second
    clock.now += 1000
    shots = progress.Task("target", 200, "shots")
    advance(left, clock, shots, 50, 20)
    assert left.seconds() == pytest.approx(60 + 200 / 5 + 400 / 5)


def test_training_corrects_it_and_tells_its_own_rest(left, clock):
    left.enter("train")
    task = progress.Task("training", 100, "steps")
    task.done = 40  # a restart goes on from here
    left.saw(task)
    advance(left, clock, task, 70, 30)  # 30 steps in 30 s, which are 60 of 200 operations
    assert left.seconds() == pytest.approx(30 + 400 / 2)
    left.enter("baseline")
    assert left.seconds() == pytest.approx(400 / 2)


def test_learning_rates_still_to_be_tried_are_counted(clock):
    """Of 200 operations for two rates, one takes 100: 50 in 10 s are 5 a second."""
    left = TimeLeft(PHASES, is_told=True, num_rates=2)
    left.costs = lambda: COSTS
    left.enter("train")
    first, second = (progress.Task("training", 100, "steps") for _ in range(2))
    left.saw(first)
    advance(left, clock, first, 50, 10)
    assert left.seconds() == pytest.approx(10 + 20 + 400 / 5)  # the rest of this rate, the other one, the baseline
    left.saw(second)
    advance(left, clock, second, 50, 10)
    assert left.seconds() == pytest.approx(10 + 400 / 5)


def test_other_work_tells_no_pace(left, clock):
    left.enter("score")
    task = progress.Task("scoring", 10, "documents")
    left.saw(task)
    advance(left, clock, task, 5, 10)
    assert left.seconds() is None


def test_models_that_a_selector_trains_tell_no_pace(left, clock):
    """Their operations are not forecast apart from all that the selector does."""
    left.costs = lambda: COSTS | {"select": 500.0}
    left.enter("select")
    task = progress.Task("training", 10, "steps")
    left.saw(task)
    advance(left, clock, task, 5, 10)
    assert left.seconds() is None


def test_each_stage_is_announced_by_its_number(left, capsys):
    left.enter("score")
    assert capsys.readouterr().err == "phase 2 of 6: score\n"
