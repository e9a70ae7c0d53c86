"""The mean of the last checkpoints."""

from delt_exp.config.fields import PositiveShare, Several, settings
from delt_exp.errors import ConfigError
from delt_exp.rows.ranking import floor_share


@settings
class LastCheckpoints:
    """The mean of the weights at `k` points, evenly spaced, of which the last is the end of the training run.

    last_ratio: share of the updates that the points stand for: with n updates they are floor(last_ratio * n / k) apart
    (latest weight averaging, Kaddour 2022, arXiv 2209.14981; with a curriculum, arXiv 2511.18903).
    """

    k: Several
    last_ratio: PositiveShare

    def check(self, num_steps: int) -> None:
        if self._spacing(num_steps) == 0:
            raise ConfigError(
                f"averaging.last_ratio={self.last_ratio} of {num_steps} steps has fewer than averaging.k={self.k} of "
                "them; lower averaging.k, raise averaging.last_ratio or train longer"
            )

    def share(self, update: int, num_steps: int) -> float:
        spacing = self._spacing(num_steps)
        num_later, rest = divmod(num_steps - update, spacing)
        return 0.0 if rest or num_later >= self.k else 1 / (self.k - num_later)

    def _spacing(self, num_steps: int) -> int:
        """Return the updates between two points; 0 where they are too few."""
        return floor_share(self.last_ratio, num_steps) // self.k
