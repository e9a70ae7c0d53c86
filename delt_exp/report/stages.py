"""Which stages of a run are its own results, and which were made on the way to them."""

from collections.abc import Mapping
from typing import Any


def own_stage(record: Mapping[str, Any], stage: str) -> Mapping[str, Any]:
    """Return the run's own stage of a kind: the last one, for what a score was made with comes before it."""
    found: Mapping[str, Any] = [one for one in record["stages"] if one["stage"] == stage][-1]
    return found
