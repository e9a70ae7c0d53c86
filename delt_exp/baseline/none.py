"""No baseline: the run stands alone."""

from delt_exp.rows.candidates import Candidates


def no_baseline(candidates: Candidates, num_kept: int) -> None:
    """Return None: there is nothing to compare with."""
