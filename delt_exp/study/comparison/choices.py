"""Which of a few choices trains the better model: each arm against one of them."""

from delt_exp.config.fields import PositiveShare, ProperShare, settings
from delt_exp.errors import ConfigError
from delt_exp.report.findings import Findings
from delt_exp.study.choices import DIMENSION
from delt_exp.study.comparison.report import ComparisonReport
from delt_exp.study.record import StudyRecord


@settings
class ChoicesReport:
    """Compares every arm of `study=compare` with `baseline`, the name of an arm; None: the last one.

    The rest is as in `ComparisonReport`.
    """

    baseline: str | None
    metric: str
    overlap_ratio: PositiveShare
    alpha: ProperShare

    def findings(self, study: StudyRecord) -> Findings:
        """Return answer, figures and tables; raises DataError where fewer than two arms can be compared."""
        return self._comparison(study).findings(study)

    def power(self, study: StudyRecord) -> list[str]:
        """Return what differences from the baseline the study will show, as its finished runs let expect."""
        return self._comparison(study).power(study)

    def _comparison(self, study: StudyRecord) -> ComparisonReport:
        names = list(dict.fromkeys(run.arm[DIMENSION] for run in study.runs))
        if self.baseline is not None and self.baseline not in names:
            raise ConfigError(f"study.report.baseline={self.baseline} is not an arm; the arms are {', '.join(names)}")
        return ComparisonReport(
            panel=None,
            metric=self.metric,
            baseline={DIMENSION: self.baseline or names[-1]},
            subject={},
            placebos=[],
            curve=None,
            overlap_ratio=self.overlap_ratio,
            alpha=self.alpha,
        )
