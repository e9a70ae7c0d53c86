"""Does alignment predict loss? Every metric against the loss on every evaluation set, with uncertainty over corpora.

Source: arXiv 2501.08496. Alignment is that of the documents a run trained on with the evaluation set.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge
from omegaconf import DictConfig

from delt_exp.config.fields import ProperShare, Seed, settings
from delt_exp.errors import ConfigError
from delt_exp.quantity import Ranged
from delt_exp.report.findings import Cell, Figure, Findings, Table
from delt_exp.statistics.correlation import difference_of_r
from delt_exp.statistics.families import holm_p
from delt_exp.statistics.found_relation import Relation
from delt_exp.statistics.points import Points
from delt_exp.statistics.relation import relate
from delt_exp.study.alignment.added import added_sentence, added_table, power_sentence
from delt_exp.study.alignment.pairs import Pair, is_diagonal, pairs_of, points_table
from delt_exp.study.alignment.scatter import scatter
from delt_exp.study.record import StudyRecord


@settings
class AlignmentReport:
    """Relates each alignment metric to the loss.

    Corpora of a mixture are named `a + b`; a pair is on the diagonal where the evaluation set is one of them.

    corpus: the dimension of the study that names the training corpus. primary: the metric of the first sentence.
    covariates: the cheap metrics that others have to add to, those that were measured; each adds to those before it.
    kinds: evaluation sets that are also looked at alone, by the name of their kind.
    """

    corpus: str
    primary: str
    covariates: Sequence[str]
    kinds: Mapping[str, Sequence[str]]
    alpha: ProperShare
    resamples: Annotated[int, Ge(100)]
    seed: Seed

    def outlook(self, configs: Sequence[DictConfig]) -> list[str]:
        """Return which partial correlation the study can find, from the numbers of corpora and evaluation sets."""
        measured = set.intersection(*({str(name) for name in cfg.alignment} for cfg in configs))
        return [power_sentence(configs, self.primary, self.given(self.primary, measured), self.kinds, self.alpha)]

    def findings(self, study: StudyRecord) -> Findings:
        """Return scatter, metrics side by side, sensitivity and the points; raises DataError for too few points."""
        pairs = pairs_of(study, self.corpus)
        relations, measured = self.relations(pairs), _measured_everywhere(pairs)
        groups = {"all": relations, **self._by_kind(pairs)}
        tables = [
            self._side_by_side(pairs, relations),
            added_table(groups, [name for name in self.covariates if name in measured]),
            _within(relations),
            points_table(pairs, list(relations)),
            _left_out(relations),
        ]
        answer = self._answer(pairs, groups, self.given(self.primary, measured))
        return Findings(answer, [self.picture(pairs, relations)], [one for one in tables if one.rows])

    def given(self, metric: str, measured: Collection[str]) -> list[str]:
        """Return the measured covariates of a metric: all, or those before it where it is one of them."""
        names = list(self.covariates)
        names = names[: names.index(metric)] if metric in names else names
        return [name for name in names if name in measured]

    def relations(self, pairs: Sequence[Pair]) -> dict[str, Relation]:
        """Return the relation of each metric with the loss; raises ConfigError where `primary` was not measured."""
        metrics = list(dict.fromkeys(metric for pair in pairs for metric in pair.alignment))
        if self.primary not in metrics:
            raise ConfigError(
                f"study.report.primary={self.primary!r} was not measured; set it to one of: {', '.join(metrics)}"
            )
        options: dict[str, Any] = {"alpha": self.alpha, "resamples": self.resamples, "seed": self.seed}
        return {metric: relate(self.points(pairs, metric), **options) for metric in metrics}

    def points(self, pairs: Sequence[Pair], metric: str) -> Points:
        """Return the pairs as points of alignment and loss, with the covariates that all of them have."""
        rest = self.given(metric, _measured_everywhere(pairs))
        return Points(
            train_N=np.array([pair.train for pair in pairs]),
            evaluation_N=np.array([pair.evaluation for pair in pairs]),
            x_N=np.array([pair.alignment[metric] for pair in pairs]),
            y_N=np.array([pair.loss for pair in pairs]),
            same_domain_N=np.array([is_diagonal(pair) for pair in pairs]),
            covariates_KN=np.array([[pair.alignment[name] for pair in pairs] for name in rest]) if rest else None,
            seed_N=np.array([pair.seed for pair in pairs]),
        )

    def picture(self, pairs: Sequence[Pair], relations: Mapping[str, Relation]) -> Figure:
        """Return loss against alignment, a button for each metric."""
        note = (
            "Each point is one model on one evaluation set, coloured by training corpus, shaped by evaluation set. "
            f"The line, with its {100 * (1 - self.alpha):g} % band over corpora, describes all pairs together; the "
            "answer is about differences within evaluation sets. Hover for names; the "
            "buttons choose the metric."
        )
        return Figure(
            "alignment", "Loss against alignment", note, scatter(pairs, relations, self.primary).to_plotly_json()
        )

    def _by_kind(self, pairs: Sequence[Pair]) -> dict[str, dict[str, Relation]]:
        """Return the relations of each kind of evaluation sets, of those that have pairs."""
        found = {kind: [pair for pair in pairs if pair.evaluation in names] for kind, names in self.kinds.items()}
        return {kind: self.relations(own) for kind, own in found.items() if own}

    def _answer(
        self, pairs: Sequence[Pair], groups: Mapping[str, Mapping[str, Relation]], covariates: Sequence[str]
    ) -> str:
        relations, baseline = groups["all"], next(iter(self.covariates), None)
        best = min(relations, key=lambda metric: relations[metric].primary.r.value)  # more alignment, less loss
        given, says = " and ".join(covariates), "say" if len(covariates) > 1 else "says"
        sentence = relations[self.primary].sentence.replace("the covariates", f"what {given} already {says}")
        text = f"{self.primary}: {sentence}"
        text += added_sentence(groups, self.primary, covariates)
        if best != self.primary:
            r, shown = relations[best].primary.r.value, self._is_ahead(pairs, list(relations), best)
            text += f"\n{best} has the strongest correlation with the loss (r = {r:.2f}); "
            text += f"that it is stronger than that of {self.primary} is {'' if shown else 'not '}shown."
        elif baseline is not None and baseline in relations and best != baseline:
            cheap, own = relations[baseline].r2, relations[best].r2
            text += f"\nThe cheap baseline {baseline} reaches r² = {cheap:.2f}, {best} {own:.2f}."
        return text

    def _is_ahead(self, pairs: Sequence[Pair], metrics: Sequence[str], best: str) -> bool:
        """Whether the correlation of `best` is shown to be below that of the primary metric, by Holm over all pairs."""
        found = {
            names: difference_of_r(self.points(pairs, names[0]), self.points(pairs, names[1]))
            for names in combinations([best, *(metric for metric in metrics if metric != best)], 2)
        }
        p_M = np.array([1.0 if one is None else one.p for one in found.values()])
        corrected = dict(zip(found, holm_p(p_M), strict=True))
        return bool(corrected[best, self.primary] < self.alpha)

    def _side_by_side(self, pairs: Sequence[Pair], relations: Mapping[str, Relation]) -> Table:
        columns = [
            "metric", "r", "r²", "r off the diagonal", "r over all pairs",
            "seconds per corpus", "seconds per pair", "slope", "mixed-effects slope", "Spearman", "pairs",
            "p (pairs independent)",
        ]  # fmt: skip
        rows = [[metric, *_numbers(relation, _seconds(pairs, metric))] for metric, relation in relations.items()]
        note = (
            "A negative r means that more alignment goes with less loss. Values are taken within evaluation sets, "
            "around the mean of each, except r over all pairs, Spearman and p, which the few means of sets decide. "
            "Intervals are over training corpora and, from 5 on, evaluation sets, not over points. p treats the pairs "
            "as independent, which they are not; it is shown for comparison with papers."
        )
        return Table("metrics", "Metrics side by side", note, columns, rows)


def _measured_everywhere(pairs: Sequence[Pair]) -> set[str]:
    """Return the metrics that all pairs have."""
    return set.intersection(*(set(pair.alignment) for pair in pairs))


def _numbers(relation: Relation, seconds: tuple[float, float]) -> list[Cell]:
    line, apart, mixed = relation.primary, relation.different_domains, relation.mixed
    return [
        line.r, relation.r2, apart.r if apart else None, relation.line.r.value,
        *seconds, line.slope, Ranged(mixed.slope, mixed.low, mixed.high) if mixed and mixed.converged else None,
        relation.spearman, line.num_pairs, relation.p,
    ]  # fmt: skip


def _seconds(pairs: Sequence[Pair], metric: str) -> tuple[float, float]:
    """Return the mean seconds of describing a training corpus and of comparing a pair."""
    by_corpus = {(pair.train, pair.seed): pair.seconds[metric][0] for pair in pairs}
    return float(np.mean(list(by_corpus.values()))), float(np.mean([pair.seconds[metric][1] for pair in pairs]))


def _within(relations: Mapping[str, Relation]) -> Table:
    sets = list(dict.fromkeys(name for relation in relations.values() for name in relation.within_r))
    rows: list[list[Any]] = [[name, *(relation.within_r.get(name) for relation in relations.values())] for name in sets]
    note = "Correlation over training corpora on one evaluation set at a time: which corpus is best for this set?"
    return Table("within", "Within an evaluation set", note, ["evaluation set", *relations], rows)


def _left_out(relations: Mapping[str, Relation]) -> Table:
    rows: list[list[Any]] = [
        [metric, left.factor, left.corpus, left.r, left.slope]
        for metric, relation in relations.items()
        for left in relation.left_out
    ]
    note = "The relation without one training corpus or evaluation set; a finding should not depend on any one of them."
    return Table(
        "left_out", "Leaving one corpus out", note, ["metric", "without the", "named", "r", "slope"], rows, folded=True
    )
