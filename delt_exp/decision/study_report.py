"""How far small training runs can be trusted, from a study that trains the same arms at several sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from delt_exp.config.fields import ProperShare, settings
from delt_exp.decision.decisions import Decision, Signal, decisions, signals, sizes
from delt_exp.decision.ladder import Ladder, check_ladder
from delt_exp.decision.report import findings
from delt_exp.errors import ConfigError, DataError
from delt_exp.report.findings import Findings
from delt_exp.study.record import PlannedRun, StudyRecord
from delt_exp.study.trust import Known, store_of, write_known

MIN_ARMS = 3
Runs = dict[str, dict[str, dict[str, dict[str, float]]]]


@settings
class DecisionReport:
    """Says how often each size orders arms as the largest does, and each metric's signal-to-noise.

    size: the dimension of sizes. protocol: that of protocols of the learning rate, null for none: every protocol of a
    smaller size is held against the verdicts of the large one, which has one protocol. All other dimensions make the
    arms. large: the label of the size whose verdicts are to be predicted. metric: of the results on every evaluation
    set. Decision accuracies are kept in the store, for the pages of studies at these sizes.
    """

    size: str
    protocol: str | None
    large: str
    metric: str
    alpha: ProperShare

    def findings(self, study: StudyRecord) -> Findings:
        """Return answer, picture and tables; raises DataError where too few arms are finished at every size."""
        verdicts, noise, names, left_out = list[Decision](), list[Signal](), list[str](), 0
        for protocol, runs in self._by_protocol(study).items():
            ladder, num_left = self._ladder(study, runs)
            check_ladder(ladder, self.large)
            verdicts += [replace(one, protocol=protocol) for one in decisions(ladder, self.large, self.alpha)]
            known = {(one.metric, one.size) for one in noise if one.size == self.large}
            found = [one for one in signals(ladder, self.alpha) if (one.metric, one.size) not in known]
            noise += [one if one.size == self.large else replace(one, protocol=protocol) for one in found]
            names, left_out = sizes(ladder), max(left_out, num_left)
        self._keep(study, verdicts)
        told = findings(names, verdicts, noise, self.large, self.alpha)
        rest = f"\n{left_out} arms are left out until they are finished at every size." if left_out else ""
        return Findings(told.answer + rest, told.figures, told.tables)

    def _by_protocol(self, study: StudyRecord) -> Mapping[str, Sequence[PlannedRun]]:
        """Return the runs of each protocol at the smaller sizes, and with them all of the large size."""
        found: dict[str, list[PlannedRun]] = {}
        large: dict[str, list[PlannedRun]] = {}
        for run in study.finished():
            for dimension in filter(None, (self.size, self.protocol)):
                if dimension not in run.arm:
                    key = "size" if dimension == self.size else "protocol"
                    raise ConfigError(
                        f"study.report.{key}={dimension!r} is not among {list(run.arm)}; vary it in every slice"
                    )
            protocol = run.arm[self.protocol] if self.protocol else ""
            (large if run.arm[self.size] == self.large else found).setdefault(protocol, []).append(run)
        if len(large) > 1:
            raise ConfigError(
                f"{self.large} is trained by {', '.join(large)}; its verdicts are the truth, so train it by one of them"
            )
        of_large = [run for runs in large.values() for run in runs]
        return {protocol: [*runs, *of_large] for protocol, runs in (found or large).items()}

    def _ladder(self, study: StudyRecord, runs: Sequence[PlannedRun]) -> tuple[Ladder, int]:
        """Return the outcomes of the arms that every size has, and how many arms are left out."""
        measured: Runs = {}
        for run in runs:
            apart = (self.size, self.protocol)
            name = " · ".join(label for dimension, label in run.arm.items() if dimension not in apart)
            for row in (run.record() or {"results": []})["results"]:
                if row["metric"] == self.metric:
                    by_size = measured.setdefault(str(row["dataset"]), {})
                    by_size.setdefault(run.arm[self.size], {}).setdefault(name, {})[str(run.seed)] = float(row["value"])
        arms = [set(by_arm) for by_size in measured.values() for by_arm in by_size.values()]
        common = set.intersection(*arms) if arms else set()
        if len(common) < MIN_ARMS or any(len(by_size) < 2 for by_size in measured.values()):
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
            for metric, by_size in measured.items()
        }
        return kept, len(set.union(*arms) - common)

    def _keep(self, study: StudyRecord, verdicts: Sequence[Decision]) -> None:
        """Write what is found where the pages of other studies look for it; sizes are counted parameters."""
        records = {run.arm[self.size]: run.record() or {} for run in study.finished()}
        parameters = {
            size: int(training["parameters"])
            for size, record in records.items()
            if "parameters" in (training := record.get("training", {}))
        }
        store = store_of(study)
        if store is None or parameters.keys() != records.keys():
            return  # records of an earlier version
        rows = [
            Known(
                parameters[one.size], parameters[self.large], self.metric, one.metric, one.protocol or "fixed",
                one.by_mean.value, one.by_mean.low, one.by_mean.high, one.num_arms, f"study {study.name}",
            )
            for one in verdicts
            if one.by_mean is not None
        ]  # fmt: skip
        write_known(store, study.name, rows)
