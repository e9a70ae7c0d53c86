"""What a forecast says of kept states is what a run keeps and computes again."""

import pytest
import torch
from torch import Tensor

from delt_exp.scorer.reverse.counts import StateCounts
from delt_exp.scorer.reverse.trajectory import Trajectory


class Counting:
    """A run of plain gradient descent on half the squared norm, which counts its gradients."""

    def __init__(self, num_steps: int) -> None:
        self.num_steps, self.theta, self.num_gradients = num_steps, torch.ones(2), 0

    def step_gradient(self, step: int) -> tuple[float, Tensor]:
        self.num_gradients += 1
        return float(self.theta.square().sum()) / 2, self.theta.clone()


def test_ten_updates_by_hand() -> None:
    # Segments at 0, 3, 6, 9; of the ten states four are kept, with three of the segment that is repeated.
    counts = StateCounts(10, is_whole=False)
    assert (counts.stride, counts.num_segments, counts.num_held, counts.num_replayed) == (3, 4, 7, 6)
    whole = StateCounts(10, is_whole=True)
    assert (whole.num_held, whole.num_replayed) == (10, 0)


@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize("num_steps", [1, 2, 9, 10, 24])
def test_a_run_computes_and_keeps_what_is_counted(num_steps: int, is_whole: bool) -> None:
    run, counts = Counting(num_steps), StateCounts(num_steps, is_whole)
    trajectory = Trajectory(run, [0.1] * num_steps, is_whole, "nothing helps")
    trajectory.run_forward(num_steps, lambda step, loss, norm: None)
    assert run.num_gradients == num_steps
    states, most = 0, len(trajectory._states)
    for index in reversed(range(trajectory.num_segments)):
        segment = trajectory.segment(index)
        most = max(most, len(trajectory._states) + len(segment))
        states += len(segment)
    assert states == num_steps
    assert run.num_gradients - num_steps == counts.num_replayed
    assert counts.num_held - 2 <= most <= counts.num_held  # a segment holds its first state, and the last is short
