"""Does a mixture that small models propose beat those that cost nothing? The comparison, and the laws it rests on."""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

from delt_exp.config.fields import Count, NonNegativeFloat, ProperShare, settings
from delt_exp.errors import ConfigError, DataError
from delt_exp.mixture.runs import is_drawn, losses_by_set, runs_of, shares_trained
from delt_exp.quantity import Ranged
from delt_exp.report.columns import column_texts
from delt_exp.report.findings import Cell, Difference, Findings, Table
from delt_exp.statistics.families import Comparison
from delt_exp.study.mixture.compared import (
    UNIT,
    Arm,
    against,
    arms_figure,
    arms_table,
    read_arms,
    trained_table,
    verdicts_table,
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
from delt_exp.study.record import PlannedRun, StudyRecord
from delt_exp.study.trust import LOSS, trust


@settings
class MixtureReport:
    """Compares mixtures by the weighted loss `objective`, and shows the laws from which one of them was proposed.

    Runs need the dimension `mixture`; laws are fitted to those of its choice `dirichlet`. objective: weights of the
    losses on domains. Evaluation sets have `compare_prefix` before the name of a domain where mixtures are compared,
    and `fit_prefix` where laws are fitted: other documents; if equal, the comparison favours the proposal. A set's own
    domain is the source of its name. proposed: labels of the choices that the laws proposed. Intervals of laws are
    percentiles of `num_bootstraps` bootstraps over runs, those of mixtures t over seeds, all at level `alpha`.
    """

    objective: Mapping[str, NonNegativeFloat]
    compare_prefix: str
    fit_prefix: str
    proposed: Sequence[str]
    num_bootstraps: Count
    alpha: ProperShare

    def __post_init__(self) -> None:
        if not sum(self.objective.values()) > 0:
            raise ConfigError(f"study.report.objective={dict(self.objective)} has no weight above 0; give a set some")

    @property
    def compared_objective(self) -> dict[str, float]:
        """The objective on the sets that mixtures are compared on."""
        return {f"{self.compare_prefix}{name}": weight for name, weight in self.objective.items()}

    @property
    def fit_objective(self) -> dict[str, float]:
        """The objective on the sets that laws are fitted to."""
        return {f"{self.fit_prefix}{name}": weight for name, weight in self.objective.items()}

    def outlook(self, configs: Sequence[DictConfig]) -> list[str]:
        """Raise ConfigError for a study that proposes for another objective than it compares by."""
        for cfg in configs:
            proposal = cfg.mixture.get("objective")
            if proposal is not None and _relative(proposal) != _relative(self.fit_objective):
                raise ConfigError(
                    f"mixture.objective={dict(proposal)} of a proposal is not study.report.objective with the prefix "
                    f"{self.fit_prefix!r}, {self.fit_objective}; change one of them"
                )
        return []

    def findings(self, study: StudyRecord) -> Findings:
        """Return figures and tables; raises DataError while there is nothing to compare and no law to fit."""
        arms = read_arms(study, self.compared_objective)
        subjects = [arm for arm in arms if arm.name in self.proposed]
        pairs = against(subjects, arms, self.alpha)
        drawn = [run for run in study.finished() if is_drawn(run.arm)]
        if not arms or not drawn:
            raise DataError(f"{study.folder}: no mixture is finished beside the drawn ones; repeat the study's command")
        proposal = self._proposal(drawn)
        tables = [
            verdicts_table(pairs), arms_table(arms, self.alpha), proposal_table(proposal), self._checks(arms, drawn),
            laws_table(proposal), effects_table(proposal), trained_table(arms),
        ]  # fmt: skip
        figures = [
            arms_figure(arms, self.alpha), shares_figure(proposal), effects_figure(proposal),
            predictions_figure(proposal),
        ]  # fmt: skip
        answer = self._answer(arms, subjects, pairs, proposal, len({run.seed for run in drawn}))
        told = "\n".join(filter(None, [answer, trust(study, LOSS)]))
        return Findings(told, figures, [table for table in tables if table.rows])

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

    def _answer(
        self, arms: Sequence[Arm], subjects: Sequence[Arm], pairs: Mapping[tuple[str, str], Comparison],
        proposal: Proposal, num_seeds: int,
    ) -> str:  # fmt: skip
        """Return the verdicts and what they cost; num_seeds: of the drawn runs, each of which made a proposal."""
        if not subjects:
            return "No answer yet: no proposed mixture is finished."
        told = [_verdicts(one, {other: pair for (name, other), pair in pairs.items() if name == one.name})
                for one in subjects]  # fmt: skip
        means = ", ".join(f"{one.name} {one.mean:.3f}" for one in subjects)
        own = f"Objectives: {means} {UNIT}; {_lowest(arms, subjects)}."
        return "\n".join([*told, own, f"{_cost(proposal, num_seeds)}."])


def _verdicts(subject: Arm, pairs: Mapping[str, Comparison]) -> str:
    """Return what a proposed mixture is better and worse than, in one sentence."""
    if not pairs:
        return (
            f"{subject.name} shares two seeds with no other mixture; one seed says nothing about other training runs."
        )
    texts = column_texts([Difference.of(pair) for pair in pairs.values()])
    parts = []
    for word, link in (("better", "than"), ("worse", "than"), ("not distinguishable", "from")):
        is_open = word.startswith("not")  # then their numbers would hide the names
        names = [name if is_open else f"{name} ({text.joined})" for (name, pair), text in
                 zip(pairs.items(), texts, strict=True) if pair.verdict.startswith(word)]  # fmt: skip
        parts += [f"{word} {link} {', '.join(names)}"] if names else []
    return f"{subject.name}, which small models propose, is {'; '.join(parts)}."


def _lowest(arms: Sequence[Arm], subjects: Sequence[Arm]) -> str:
    first = arms[0]
    return "no other is lower" if first in subjects else f"the lowest is that of {first.name}, {first.mean:.3f}"


def _cost(proposal: Proposal, num_seeds: int) -> str:
    shares = zip(proposal.runs.sources, proposal.shares, proposal.drawn_shares.T, strict=True)
    cells = [(name, proposal.ranged(share, drawn_B)) for name, share, drawn_B in shares]
    text = ", ".join(f"{name} {100 * one.value:.0f} % {_percent(one)}" for name, one in cells)
    each = len(proposal.runs.shares_RG) / num_seeds
    return f"All drawn runs together propose {text}. A proposal cost {each:.3g} runs on drawn mixtures"


def _percent(one: Ranged) -> str:
    return f"[{100 * one.low:.0f}, {100 * one.high:.0f}]"


def _relative(objective: Mapping[Any, Any]) -> dict[str, float]:
    """Return weights above 0 that sum to 1, rounded to compare."""
    total = sum(objective.values()) or 1.0
    return {str(name): round(weight / total, 9) for name, weight in objective.items() if weight > 0}
