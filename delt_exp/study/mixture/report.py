"""Does a mixture that small models propose beat those that cost nothing? The comparison, and the laws it rests on."""

from collections.abc import Mapping, Sequence

from omegaconf import DictConfig

from delt_exp.config.fields import Count, NonNegativeFloat, ProperShare, settings
from delt_exp.errors import DataError
from delt_exp.report.findings import Findings
from delt_exp.study.record import StudyRecord


@settings
class MixtureReport:
    """stub"""

    objective: Mapping[str, NonNegativeFloat]
    fit_prefix: str
    proposed: str
    num_bootstraps: Count
    alpha: ProperShare

    def findings(self, study: StudyRecord) -> Findings:
        """stub"""
        raise DataError("stub")
