"""How far small training runs can be trusted, from a study that trains the same arms at several sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from delt_exp.config.fields import ProperShare, settings
from delt_exp.decision.decisions import Decision, Signal, decisions, signals, sizes
from delt_exp.decision.ladder import Ladder, check_ladder
from delt_exp.decision.report import findings
from delt_exp.errors import ConfigError, DataError
from delt_exp.report.findings import Findings
from delt_exp.report.numbers import listed
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
        by_protocol = self._by_protocol(study)
        ladders, num_left = self._ladders(study, by_protocol)
        verdicts, noise = list[Decision](), list[Signal]()
        for protocol, ladder in ladders.items():
            verdicts += [replace(one, protocol=protocol) for one in decisions(ladder, self.large, self.alpha)]
            known = {(one.metric, one.size) for one in noise if one.size == self.large}
            found = [one for one in signals(ladder, self.alpha) if (one.metric, one.size) not in known]
            noise += [one if one.size == self.large else replace(one, protocol=protocol) for one in found]
        self._keep(study, verdicts)
        told = findings(sizes(*ladders.values()), verdicts, noise, self.large, self.alpha)
        rest = f"\n{num_left} arms are left out until they are finished at every size." if num_left else ""
        if waiting := [protocol for protocol in by_protocol if protocol not in ladders]:
            rest += f"\n{listed(waiting)}: left out until {MIN_ARMS} arms are finished at two sizes."
        return Findings(told.answer + rest, told.figures, told.tables)

    def _ladders(
        self, study: StudyRecord, by_protocol: Mapping[str, Sequence[PlannedRun]]
    ) -> tuple[dict[str, Ladder], int]:
        """Return the ladder of each protocol that has enough arms, and the most arms that one of all leaves out."""
        ladders, num_left, num_common, apart = dict[str, Ladder](), 0, 0, ""
        for protocol, runs in by_protocol.items():
            measured, every, common = self._measured(runs)
            num_left, num_common = max(num_left, len(every - common)), max(num_common, len(common))
            if len(common) >= MIN_ARMS and all(len(by_size) > 1 for by_size in measured.values()):
                if not (seeds := _common_seeds(measured, common)):
                    apart = f"; the {len(common)} arms that are finished at every size have no seed in common"
                    continue
                ladders[protocol] = _of_seeds(measured, common, seeds)
                check_ladder(ladders[protocol], self.large)
        if not ladders:
            raise DataError(
                f"{study.folder}: only {num_common} arms are finished with {self.metric} at every size; decision "
                f"accuracy needs {MIN_ARMS} arms and two sizes{apart}: repeat the study's command"
            )
        return ladders, num_left

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

    def _measured(self, runs: Sequence[PlannedRun]) -> tuple[Runs, set[str], set[str]]:
        """Return the outcomes by metric, size, arm and seed, all arms, and those that every size has."""
        measured: Runs = {}
        for run in runs:
            apart = (self.size, self.protocol)
            name = " · ".join(label for dimension, label in run.arm.items() if dimension not in apart)
            for row in (run.record() or {"results": []})["results"]:
                if row["metric"] == self.metric:
                    by_size = measured.setdefault(str(row["dataset"]), {})
                    by_size.setdefault(run.arm[self.size], {}).setdefault(name, {})[str(run.seed)] = float(row["value"])
        arms = [set(by_arm) for by_size in measured.values() for by_arm in by_size.values()]
        return measured, set[str]().union(*arms), set.intersection(*arms) if arms else set()

    def _keep(self, study: StudyRecord, verdicts: Sequence[Decision]) -> None:
        """Write what a whole study found where the pages of others look for it; sizes are counted parameters."""
        if len(study.finished()) < len(study.runs):
            return
        records = {run.arm[self.size]: run.record() or {} for run in study.finished()}
        parameters = {
            size: int(training["parameters"])
            for size, record in records.items()
            if "parameters" in (training := record.get("training", {}))
        }
        store = store_of(study)
        if store is None or parameters.keys() != records.keys():
            return  # records of an earlier version
        source = f"study {study.name} over {listed(self._varied(study))}"
        rows = [
            Known(
                parameters[one.size], parameters[self.large], self.metric, one.metric, one.protocol or "fixed",
                one.by_mean.value, one.by_mean.low, one.by_mean.high, one.num_arms, source,
            )
            for one in verdicts
            if one.by_mean is not None
        ]  # fmt: skip
        write_known(store, study.name, rows)

    def _varied(self, study: StudyRecord) -> list[str]:
        """Return the dimensions in which its arms differ: what the accuracy is of."""
        labels: dict[str, set[str]] = {}
        for run in study.runs:
            for dimension, label in run.arm.items():
                labels.setdefault(dimension, set()).add(label)
        return [name for name, own in labels.items() if len(own) > 1 and name not in (self.size, self.protocol)]


def _common_seeds(measured: Runs, arms: set[str]) -> set[str]:
    """Return the seeds that all of these arms have at every size.

    Each seed has candidates of its own, so that means over other seeds do not compare.
    """
    by_arms = [by_arm for by_size in measured.values() for by_arm in by_size.values()]
    return set.intersection(*(set(by_arm[arm]) for by_arm in by_arms for arm in arms))


def _of_seeds(measured: Runs, arms: set[str], seeds: set[str]) -> Ladder:
    """Return the outcomes of these arms at these seeds."""
    return {
        metric: {
            size: {
                arm: {seed: value for seed, value in by_seed.items() if seed in seeds}
                for arm, by_seed in by_arm.items()
                if arm in arms
            }
            for size, by_arm in by_size.items()
        }
        for metric, by_size in measured.items()
    }
