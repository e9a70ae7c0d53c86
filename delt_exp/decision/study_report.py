"""How far small training runs can be trusted, from a study that trains the same arms at several sizes."""

from delt_exp.config.fields import ProperShare, settings
from delt_exp.decision.decisions import decisions, signals, sizes
from delt_exp.decision.ladder import Ladder, check_ladder
from delt_exp.decision.report import findings
from delt_exp.errors import ConfigError, DataError
from delt_exp.report.findings import Findings
from delt_exp.study.record import StudyRecord

MIN_ARMS = 3


@settings
class DecisionReport:
    """Says how often each size orders arms as the largest does, and each metric's signal-to-noise.

    size: the dimension of sizes; all others make the arms. large: its label whose verdicts are to be predicted. metric:
    of the results on every evaluation set.
    """

    size: str
    large: str
    metric: str
    alpha: ProperShare

    def findings(self, study: StudyRecord) -> Findings:
        """Return answer, picture and tables; raises DataError where too few arms are finished at every size."""
        ladder, left_out = self._ladder(study)
        check_ladder(ladder, self.large)
        verdicts, noise = decisions(ladder, self.large, self.alpha), signals(ladder, self.alpha)
        found = findings(sizes(ladder), verdicts, noise, self.large, self.alpha)
        rest = f"\n{left_out} arms are left out until they are finished at every size." if left_out else ""
        return Findings(found.answer + rest, found.figures, found.tables)

    def _ladder(self, study: StudyRecord) -> tuple[Ladder, int]:
        """Return the outcomes of the arms that every size has, and how many arms are left out."""
        runs: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
        for run in study.finished():
            if self.size not in run.arm:
                raise ConfigError(
                    f"study.report.size={self.size!r} is not among {list(run.arm)}; vary it in every slice"
                )
            name = " · ".join(label for dimension, label in run.arm.items() if dimension != self.size)
            for row in (run.record() or {"results": []})["results"]:
                if row["metric"] == self.metric:
                    by_size = runs.setdefault(str(row["dataset"]), {})
                    by_size.setdefault(run.arm[self.size], {}).setdefault(name, {})[str(run.seed)] = float(row["value"])
        arms = [set(by_arm) for by_size in runs.values() for by_arm in by_size.values()]
        common = set.intersection(*arms) if arms else set()
        if len(common) < MIN_ARMS or any(len(by_size) < 2 for by_size in runs.values()):
            raise DataError(
                f"{study.folder}: only {len(common)} arms are finished with {self.metric} at every size; decision "
                "accuracy "
                f"needs {MIN_ARMS} arms and two sizes: repeat the study's command"
            )
        kept = {
            metric: {
                size: {arm: by_seed for arm, by_seed in by_arm.items() if arm in common}
                for size, by_arm in by_size.items()
            }
            for metric, by_size in runs.items()
        }
        return kept, len(set.union(*arms) - common)
