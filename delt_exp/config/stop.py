"""Where a run may stop before it trains: `stop_after`."""

from typing import Any, Literal

from delt_exp.config.fields import check_value
from delt_exp.errors import ConfigError

Stop = Literal["scores", "selection", "order"]


def check_stop(stop_after: Any, study: Any) -> None:
    """Raise ConfigError where a run cannot stop like this."""
    check_value("stop_after", stop_after, Stop | None)
    if stop_after is not None and study:
        raise ConfigError(
            f"stop_after={stop_after} leaves no result, but a study compares results; leave it out, or give the "
            "overrides of a single run without study"
        )
