"""Which scorer, selection and order train a better model, is it more than a placebo, and is it worth its cost?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from delt_exp.config.fields import PositiveShare, ProperShare, settings
from delt_exp.errors import DataError
from delt_exp.report.findings import Figure, Findings, Table
from delt_exp.report.numbers import listed
from delt_exp.statistics.families import Comparison
from delt_exp.study.comparison.arms import Arm, Panel, planned_arms, read_panels, without_arms
from delt_exp.study.comparison.charge import charged
from delt_exp.study.comparison.claims import Claim, gain_sentence, worth_sentence
from delt_exp.study.comparison.cost_gain import cost_figure, cost_table
from delt_exp.study.comparison.curves import dimension_curve, scorer_and_orderer, training_curves
from delt_exp.study.comparison.diagnosis import ByScorer, agreement_figure, scorers_table, scores_by_scorer
from delt_exp.study.comparison.leaderboard import leaderboard_figure, leaderboard_table, pairs_table
from delt_exp.study.comparison.pairs import compared, every_pair
from delt_exp.study.comparison.planned import unfinished_pairs
from delt_exp.study.comparison.power import family_power, power_sentences
from delt_exp.study.record import StudyRecord
from delt_exp.study.trust import trust

Part = TypeVar("Part", Figure, Table)


@settings
class ComparisonReport:
    """Compares arms over common seeds and common evaluation documents, placebos and costs included.

    panel: dimension whose choices are not compared with each other, null for none. metric: `loss`, paired over all
    documents of the text evaluations, or a metric of the results, its mean over datasets paired over seeds. baseline:
    labels of the conventional arm; arms that have them and a larger budget show what its cost could buy. subject:
    labels of the arms that the question is about. placebos: labels of scorers without information. curve: a dimension
    of numbers to draw the outcome over, null for none. overlap_ratio: share of best documents compared between scorers.
    """

    panel: str | None
    metric: str
    baseline: Mapping[str, str | int | float]
    subject: Mapping[str, str | int | float]
    placebos: Sequence[str]
    curve: str | None
    overlap_ratio: PositiveShare
    alpha: ProperShare

    def findings(self, study: StudyRecord) -> Findings:
        """Return answer, figures and tables; raises DataError where fewer than two arms can be compared."""
        panels = read_panels(study, self.panel, self.metric, _labels(self.baseline), self.placebos)
        if all(len(panel.arms) < 2 for panel in panels):
            raise DataError(f"{study.folder}: fewer than two arms are finished; repeat the study's command")
        unfinished = unfinished_pairs(study, self.panel, _labels(self.baseline), self.placebos)
        panels = compared(charged(panels), self.alpha, unfinished)
        figures: list[Figure] = []
        tables: list[Table] = []
        for number, panel in enumerate(panels):
            scores, suffix = scores_by_scorer(panel), f"-{number}" if len(panels) > 1 else ""
            figures += [_of_panel(one, panel, suffix) for one in self._figures(panel, scores) if one is not None]
            tables += [_of_panel(one, panel, suffix) for one in self._tables(panel, scores)]
        families = [panel.planned for panel in panels]
        every = [pair for pairs in families for pair in pairs.values()]
        power = family_power(study, every, "a difference", max((pair.num_comparisons for pair in every), default=0))
        planned = pairs_table("planned", "Planned comparisons", panels, families)
        tables.append(replace(planned, note=f"{planned.note} {power}".strip()))
        tables.append(pairs_table("pairs", "Every pair", panels, every_pair(panels, self.alpha), folded=True))
        answers = [self._answer(study, panel) for panel in panels]
        if len(panels) > 1:
            answers = [_over_panels(answers, panels), *(answer.replace("\n", " ") for answer in answers)]
        answers += [without_arms(study, self.panel, panels), trust(study, self.metric)]
        return Findings("\n".join(filter(None, answers)), figures, tables)

    def power(self, study: StudyRecord) -> list[str]:
        """Return what differences from the baseline the study will show, as its finished runs let expect."""
        return power_sentences(study, self.panel, self.metric, _labels(self.baseline), self.alpha, self.placebos)

    def _figures(self, panel: Panel, scores: ByScorer) -> list[Figure | None]:
        return [
            leaderboard_figure(panel),
            scorer_and_orderer(panel),
            dimension_curve(panel, self.curve, self.alpha) if self.curve else None,
            cost_figure(panel, self.alpha),
            training_curves(panel),
            agreement_figure(scores, self.overlap_ratio),
        ]

    def _tables(self, panel: Panel, scores: ByScorer) -> list[Table]:
        return [
            leaderboard_table(panel, self.alpha),
            cost_table(panel),
            scorers_table(panel, scores, self.overlap_ratio),
        ]

    def _answer(self, study: StudyRecord, panel: Panel) -> str:
        """Return two sentences on the best arm of the question, of those shown to gain; they begin with the panel."""
        answer = self._verdict(study, panel)
        return f"On {panel.name}, {answer[0].lower()}{answer[1:]}" if panel.name else answer

    def _verdict(self, study: StudyRecord, panel: Panel) -> str:
        subject = _labels(self.subject)
        if panel.baseline is None:
            return "No answer yet: the baseline is not finished."
        arms = [arm for arm in panel.ranked if arm is not panel.baseline and not panel.is_placebo(arm)]
        arms = [arm for arm in arms if arm.has(subject)]
        if not arms:
            return f"No answer yet: no arm with {' and '.join(subject.values()) or 'a score'} is finished."
        claims = [claim for arm in arms if (claim := self._claim(study, panel, arm)) is not None]
        if not claims:
            return f"No answer yet: {arms[0].name} has no seed in common with the baseline."
        told = next((claim for claim in claims if claim.is_shown), claims[0])
        first = claims[0].arm.name
        ahead = "" if told is claims[0] else f" {first} has the better mean, but a gain of it is not shown."
        return f"{gain_sentence(told)}{ahead}\n{worth_sentence(panel, told)}"

    def _claim(self, study: StudyRecord, panel: Panel, arm: Arm) -> Claim | None:
        """Return what has to hold of an arm; None where it has no seed in common with the baseline."""
        pair, controls = panel.against_baseline(arm), self._controls(panel, arm)
        if pair is None:
            return None
        even = [name for name, one in controls.items() if not one.is_better]
        missing = panel.unfinished_placebos(arm, planned_arms(study, self.panel, panel.name))
        return Claim(arm, pair, list(controls), even, [f"with {name} scores" for name in missing])

    def _controls(self, panel: Panel, arm: Arm) -> dict[str, Comparison]:
        """Return what else the arm must beat: placebos; for a question about orders, its selection in the usual one."""
        controls = {f"with {name} scores": one for name, one in panel.against_placebos(arm).items()}
        usual = panel.in_usual_order(arm) if "orderer" in self.subject else None
        pair = panel.between(arm, usual)
        return controls | ({f"in {usual.labels['orderer']} order": pair} if usual and pair else {})


def _over_panels(answers: Sequence[str], panels: Sequence[Panel]) -> str:
    """Return one sentence over all panels: where the answer is yes, no, or open."""
    words = [
        answer.removeprefix(f"On {panel.name}, ").split(":")[0] for answer, panel in zip(answers, panels, strict=True)
    ]
    where = {word: [panel.name for panel, own in zip(panels, words, strict=True) if own == word] for word in words}
    told = "; ".join(f"{word} on {listed(names)}" for word, names in where.items())
    return f"{told[0].upper()}{told[1:]}."


def _labels(labels: Mapping[str, str | int | float]) -> dict[str, str]:
    return {key: str(label) for key, label in labels.items()}


def _of_panel(part: Part, panel: Panel, suffix: str) -> Part:
    """Return a figure or table of the panel's part of the page, whose name tells it from those of other panels."""
    return replace(part, name=f"{part.name}{suffix}", part=panel.name)
