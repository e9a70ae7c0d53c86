"""A mean over all updates that forgets the early ones."""

from delt_exp.config.fields import ProperShare, settings


@settings
class ExponentialAverage:
    """The weighted mean of the weights after each update, where u updates ago counts `decay`^u (EMA).

    The weights of the mean sum to 1, so that a short training run is not drawn to its initial weights, which have no
    part in it: the correction of Adam's moments, not the usual start from the first weights. Updates count for about
    1 / (1 - decay) steps: choose the decay by the length of the training run.
    """

    decay: ProperShare

    def check(self, num_steps: int) -> None:
        """Accept every length."""

    def share(self, update: int, num_steps: int) -> float:
        return (1 - self.decay) / (1 - self.decay**update)
