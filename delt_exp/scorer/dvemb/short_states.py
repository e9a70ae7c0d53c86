"""The states of a short run of plain gradient descent that the sweep takes by itself."""

from delt_exp.scorer.reverse.trajectory import Trajectory


class ShortStates(Trajectory):
    """theta <- theta - rate g."""

    def rate(self, step: int) -> float:
        return self.rates[step]

    def return_to(self, num_steps: int) -> None:
        self.run_forward(min(num_steps, len(self.rates)), lambda step, loss, norm: None)
