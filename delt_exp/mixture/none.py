"""No mixture: documents are trained in the sequence of the orderer."""

from delt_exp.mixture.sources import Sources


def none(sources: Sources) -> None:
    """Return None: sources occur as often as selection and order leave them."""
