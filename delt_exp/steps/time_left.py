"""When will this run be done? Estimated from the forecast of its phases and the pace so far."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property

from delt_exp.progress import Task, observers, outlook, say
from delt_exp.report.numbers import seconds
from delt_exp.steps.comparing import has_baseline
from delt_exp.steps.components import Components
from delt_exp.steps.journal import PHASES, Phase

TRAINING = "training"  # the piece of work whose operations are known: they tell the pace
FORECAST_OF_TRAINING = {"score": "warm start", "train": "train", "baseline": "baseline"}  # its name, by phase
Costs = Mapping[str, float]


def phases_of(parts: Components, stop_after: str | None) -> Sequence[Phase]:
    """Return the phases that a run will have."""
    if stop_after is not None:
        return PHASES[: 2 if stop_after == "scores" else 3]
    return PHASES if has_baseline(parts) else PHASES[:-1]


class TimeLeft:
    """The time that a run will still take.

    num_rates: learning rates that are tried; the phases `train` and `baseline` have one training run for each. costs:
    gives the operations of every phase, and of the warm start of a score; asked for once, when the first work is done,
    because a run that reuses everything must not load what a forecast needs. Evaluation is not in it. The pace is that
    of training, first of a proxy, then of the model: other work is slower or faster, so this is only a guide, but never
    less than what the piece of work at hand still takes by itself.
    """

    def __init__(self, phases: Sequence[Phase], *, is_told: bool, num_rates: int) -> None:
        self.costs: Callable[[], Costs] = dict
        self._phases, self._is_told, self._num_rates = phases, is_told, num_rates
        self._phase: Phase = phases[0]
        self._entered = time.monotonic()
        self._first: tuple[Task, int, float] | None = None  # a training run, and where it was when it was first seen
        self._pace: float | None = None  # operations a second
        self._num_begun = 0  # training runs of this phase
        self._rest: float | None = None  # seconds of the training run at hand and of the other rates
        self._at_hand: Task | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Add the time left to what is told of every piece of work while the block runs."""
        observers.append(self.saw)
        outlook.append(self.in_words)
        try:
            yield
        finally:
            observers.remove(self.saw)
            outlook.remove(self.in_words)

    def enter(self, phase: Phase) -> None:
        """Begin a phase, and say which it is."""
        self._at_hand = None
        self._phase, self._entered, self._rest, self._num_begun = phase, time.monotonic(), None, 0
        if self._is_told:
            words = self.in_words()
            say(f"phase {self._number} of {len(self._phases)}: {phase}" + (f"; {words}" if words else ""))

    @property
    def _number(self) -> int:
        return self._phases.index(self._phase) + 1

    @cached_property
    def _costs(self) -> Costs:
        return self.costs()

    def saw(self, task: Task) -> None:
        """Learn the pace from a training run, and what is at hand."""
        self._at_hand = task
        if task.name != TRAINING or not task.total:
            return
        now = time.monotonic()
        if self._first is None or self._first[0] is not task:
            self._first = task, task.done, now  # what was done before a restart took no time here
            self._num_begun += 1
            return
        done, elapsed = task.done - self._first[1], now - self._first[2]
        flops = self._costs.get(FORECAST_OF_TRAINING.get(self._phase, ""), 0.0)
        if done and elapsed > 0 and flops:
            is_of_model = self._phase in ("train", "baseline")
            self._pace = flops / (self._num_rates if is_of_model else 1) * done / task.total / elapsed
            num_later = max(self._num_rates - self._num_begun, 0)
            num_steps = task.total - task.done + num_later * task.total
            self._rest = elapsed * num_steps / done if is_of_model else None

    def seconds(self) -> float | None:
        """Return the seconds until the run ends; None before its pace is known."""
        if self._pace is None:
            return None
        later = sum(self._costs.get(phase, 0.0) for phase in self._phases[self._number :]) / self._pace
        if self._rest is not None:
            return self._rest + later
        forecast = self._costs.get(self._phase, 0.0) / self._pace
        at_hand = self._at_hand.seconds_left() if self._at_hand else None
        return max(forecast - (time.monotonic() - self._entered), at_hand or 0.0) + later

    def in_words(self) -> str:
        """Return the time left of the whole run; nothing before it is known, or where it is below a second."""
        left = self.seconds()
        return "" if left is None or left < 1 else f"run: about {seconds(left)} left"
