"""Does a mixture that small models propose beat those that cost nothing? The comparison, and the laws it rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from omegaconf import DictConfig

from delt_exp.config.fields import Count, NonNegativeFloat, ProperShare, settings
from delt_exp.errors import ConfigError, DataError
from delt_exp.mixture.runs import DIMENSION, is_drawn, losses_by_set, runs_of, shares_trained
from delt_exp.report.findings import Cell, Findings, Table
from delt_exp.study.mixture.compared import (
    UNIT,
    Arm,
    arms_figure,
    arms_table,
    read_arms,
    trained_table,
    weighted,
)
from delt_exp.study.mixture.laws import (
    Proposal,
    effects_figure,
    effects_table,
    laws_table,
    predictions_figure,
    proposal_table,
    shares_figure,
)
from delt_exp.study.mixture.verdicts import free_table, others_table, verdicts
from delt_exp.study.record import PlannedRun, StudyRecord
from delt_exp.study.trust import LOSS, trust


@settings
class MixtureReport:
    """Compares mixtures by the weighted loss `objective`, and shows the laws from which one of them was proposed.

    Runs need the dimension `mixture`; laws are fitted to those of its choice `dirichlet`. objective: weights of the
    losses on domains. Evaluation sets have `compare_prefix` before the name of a domain where mixtures are compared,
    and `fit_prefix` where laws are fitted: other documents; if equal, the comparison favours the proposal. A set's own
    domain is the source of its name. proposed: labels of the choices that the laws proposed, first the one that is to
    beat every choice of `free`, mixtures for which nothing was trained. Intervals of laws are percentiles of
    `num_bootstraps` bootstraps over runs, those of mixtures t over seeds, all at level `alpha`.
    """

    objective: Mapping[str, NonNegativeFloat]
    compare_prefix: str
    fit_prefix: str
    proposed: Sequence[str]
    free: Sequence[str]
    num_bootstraps: Count
    alpha: ProperShare

    def __post_init__(self) -> None:
        if not sum(self.objective.values()) > 0:
            raise ConfigError(f"study.report.objective={dict(self.objective)} has no weight above 0; give a set some")
        for name in ("proposed", "free"):
            if not getattr(self, name):
                raise ConfigError(
                    f"study.report.{name} is empty; name at least one choice of the dimension {DIMENSION}"
                )

    @property
    def compared_objective(self) -> dict[str, float]:
        """The objective on the sets that mixtures are compared on."""
        return {f"{self.compare_prefix}{name}": weight for name, weight in self.objective.items()}

    @property
    def fit_objective(self) -> dict[str, float]:
        """The objective on the sets that laws are fitted to."""
        return {f"{self.fit_prefix}{name}": weight for name, weight in self.objective.items()}

    def outlook(self, configs: Sequence[DictConfig]) -> list[str]:
        """Return which given shares are not the objective; raises ConfigError for a proposal for another objective."""
        other = []
        for cfg in configs:
            proposal, given = cfg.mixture.get("objective"), cfg.mixture.get("shares")
            if proposal is not None and _relative(proposal) != _relative(self.fit_objective):
                raise ConfigError(
                    f"mixture.objective={dict(proposal)} of a proposal is not study.report.objective with the prefix "
                    f"{self.fit_prefix!r}, {self.fit_objective}; change one of them"
                )
            if given is not None and _relative(given) != _relative(self.objective):
                other.append(dict(given))
        return [
            f"warning: mixture.shares={shares} is not study.report.objective={dict(self.objective)}: no mixture of the "
            "share of the own domain for this objective"
            for shares in dict.fromkeys(map(str, other))
        ]

    def findings(self, study: StudyRecord) -> Findings:
        """Return figures and tables; raises DataError while there is nothing to compare and no law to fit."""
        arms = read_arms(study, self.compared_objective)
        drawn = [run for run in study.finished() if is_drawn(run.arm)]
        if not arms or not drawn:
            raise DataError(f"{study.folder}: no mixture is finished beside the drawn ones; repeat the study's command")
        compared = [run for run in study.runs if not is_drawn(run.arm)]
        found = verdicts(arms, self._planned(compared), self.proposed, self.free, self.alpha)
        proposal = self._proposal(drawn)
        tables = [
            free_table(found), others_table(found), arms_table(arms, self.alpha), self._checks(arms, drawn),
            proposal_table(proposal), laws_table(proposal), effects_table(proposal), trained_table(arms),
        ]  # fmt: skip
        figures = [
            arms_figure(arms, self.alpha), shares_figure(proposal), effects_figure(proposal),
            predictions_figure(proposal),
        ]  # fmt: skip
        told = [found.answer(), _lowest(arms), *_cost(arms, self.proposed[0], drawn)]
        answer = "\n".join(filter(None, [*told, trust(replace(study, runs=compared), LOSS)]))
        return Findings(answer, figures, [table for table in tables if table.rows])

    def _planned(self, compared: Sequence[PlannedRun]) -> list[str]:
        """Return the names of the mixtures that are to be compared; raises ConfigError for a choice that is none."""
        names = list(dict.fromkeys(run.arm[DIMENSION] for run in compared))
        for key, labels in (("proposed", self.proposed), ("free", self.free)):
            if unknown := [label for label in labels if label not in names]:
                raise ConfigError(
                    f"study.report.{key} names {unknown[0]!r}, which is no choice of the study: {', '.join(names)}"
                )
        return names

    def _proposal(self, drawn: Sequence[PlannedRun]) -> Proposal:
        results = (drawn[0].record() or {})["results"]
        sets = [row["dataset"] for row in results if row["metric"] == "loss"]
        sets = [name for name in sets if name.startswith(self.fit_prefix)]
        runs = runs_of(drawn, sets)
        named = {name: name.removeprefix(self.fit_prefix) for name in sets}
        own = {name: source if source in runs.sources else None for name, source in named.items()}
        weights_S = runs.weights(self.fit_objective, "study.report.objective")
        return Proposal(runs, weights_S, own, self.num_bootstraps, self.alpha)

    def _of_seed(self, drawn: Sequence[PlannedRun], seed: int) -> Proposal | None:
        """Return what the laws of one seed propose; None while too few of its runs are finished for laws."""
        own = [run for run in drawn if run.seed == seed]
        try:
            return self._proposal(own) if own else None
        except DataError:  # those of all seeds have a law, so it is the number of runs that is wrong
            return None

    def _checks(self, arms: Sequence[Arm], drawn: Sequence[PlannedRun]) -> Table:
        """Return what the laws of each seed say of the compared mixtures, and what was measured."""
        rows: list[list[Cell]] = []
        for seed in sorted({seed for arm in arms for seed in arm.runs}):
            laws = self._of_seed(drawn, seed)
            for arm in arms:
                if laws is None or (run := arm.runs.get(seed)) is None:
                    continue
                trained = shares_trained(run)
                predicted = laws.predicted(laws.runs.in_order(trained))
                measured = weighted(losses_by_set(run, list(self.fit_objective)), self.fit_objective)
                rows.append([arm.name, seed, predicted, measured, measured - predicted.value])
        note = (
            "What the laws of each seed's small models say of mixtures that they were not fitted to, on the sets that "
            "they were fitted to, and what was measured. Intervals are those of the law; the noise of a run comes on "
            "top. A proposal is where the laws are lowest, so their predictions there are more often too low than "
            "too high. Where the models of the laws are smaller than those compared, levels differ, and only the order "
            "tells. A seed is left out while too few of its drawn mixtures are finished for laws."
        )
        columns = ["mixture", "seed", f"predicted [{UNIT}]", f"measured [{UNIT}]", "measured minus predicted"]
        return Table("predicted", "What the laws say of the compared mixtures", note, columns, rows)


def _lowest(arms: Sequence[Arm]) -> str:
    """Return which mixture has the lowest mean; nothing while means are of different seeds."""
    if len({frozenset(arm.values) for arm in arms}) > 1:
        return ""
    return f"The lowest objective is that of {arms[0].name}: {arms[0].mean:.3f} {UNIT}."


def _cost(arms: Sequence[Arm], subject: str, drawn: Sequence[PlannedRun]) -> list[str]:
    """Return what the proposal is, and what its small models cost; nothing while it is not finished."""
    runs = next((arm.runs for arm in arms if arm.name == subject), {})
    if not runs:
        return []
    shares = [shares_trained(run) for run in runs.values()]
    ranges = [(name, [one[name] for one in shares]) for name in shares[0]]
    text = ", ".join(f"{name} {min(of):.0%} to {max(of):.0%}" for name, of in ranges)
    small, own = sum(map(_flops, drawn)) / len({run.seed for run in drawn}), np.mean([*map(_flops, runs.values())])
    return [
        f"{subject} is, over {len(runs)} seeds, {text}.",
        f"The small models of a seed take {small / own:.2g} times the training FLOPs of the model that they are for.",
    ]


def _flops(run: PlannedRun) -> float:
    return float((run.record() or {})["training"]["flops"])


def _relative(objective: Mapping[Any, Any]) -> dict[str, float]:
    """Return weights above 0 that sum to 1, rounded to compare."""
    total = sum(objective.values()) or 1.0
    return {str(name): round(weight / total, 9) for name, weight in objective.items() if weight > 0}
