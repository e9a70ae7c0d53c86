"""Do scores say what training on the documents brings? Every scorer's agreement with retraining, and its cost."""

from collections.abc import Sequence

import numpy as np
from omegaconf import DictConfig

from delt_exp.config.fields import Count, ProperShare, Seed, settings
from delt_exp.errors import DataError
from delt_exp.quantity import Ranged
from delt_exp.report.findings import Cell, Findings, Table
from delt_exp.report.numbers import listed
from delt_exp.statistics.datamodeling import Agreement, detectable, joined, perfect, rank_correlations
from delt_exp.study.comparison.cost import scaled
from delt_exp.study.record import StudyRecord
from delt_exp.study.retraining.agreed import AGREES, REVERSE, Agreed, Golds, read_agreed, read_golds
from delt_exp.study.retraining.pictures import agreement_figure, price_figure, sources_table
from delt_exp.study.trust import LOSS, trust


@settings
class RetrainingReport:
    """Ranks scorers by their linear datamodeling score (arXiv:2303.14186) on the halves that `gold` held out.

    The truth of a half is its mean worth over two training runs from different seeds. pool: the dimension that makes
    separate candidates. gold: the scorer that retrains. placebos: scorers without information. Intervals are over
    halves at level `alpha`; p by `permutations` of the groups, drawn from `seed`.
    """

    pool: str
    gold: str
    placebos: Sequence[str]
    permutations: Count
    alpha: ProperShare
    seed: Seed

    def outlook(self, configs: Sequence[DictConfig]) -> list[str]:
        """Return how small an agreement the halves held out can show."""
        counts = {int(cfg.scorer.num_held_out) for cfg in configs if "num_held_out" in cfg.scorer}
        family = sum(cfg.seed == configs[0].seed for cfg in configs)
        return [self._power(count, family) for count in sorted(counts) if count > 1]

    def _power(self, count: int, family: int) -> str:
        alone, strict = (
            [detectable(count, groups, level) for groups in (64, 128)] for level in (self.alpha, self.alpha / family)
        )
        return (
            f"power: with {count} held-out halves, an agreement near 0 has a standard error of "
            f"{(count - 1) ** -0.5:.2f} over halves; the smallest that differs from a permuted score with power 0.8 is "
            f"{alone[0]:.2f} with 64 groups, {alone[1]:.2f} with 128; after Holm's correction over {family} rows "
            f"{strict[0]:.2f} and {strict[1]:.2f}"
        )

    def findings(self, study: StudyRecord) -> Findings:
        """Return figures and tables; raises DataError while no pool was retrained."""
        runs = study.finished()
        golds = read_golds(runs, self.pool, self.gold)
        if not golds:
            raise DataError(f"{study.folder}: no run with scorer={self.gold} is finished; repeat the study's command")
        agreed = read_agreed(runs, self.pool, self.gold, golds, self.permutations, self.alpha, self.seed)
        agreed.sort(key=lambda one: (one.pool, -one.sums.value))
        ceilings = self._ceilings(golds)
        figures = [agreement_figure(agreed, ceilings, self.gold), price_figure(agreed)]
        tables = [
            self._answer_table(agreed, ceilings),
            self._board(agreed),
            self._ceiling_table(golds),
            sources_table(golds, self.pool, self.alpha),
        ]
        told = [self._answer(agreed, ceilings), trust(study, LOSS)]
        return Findings("\n".join(filter(None, told)), figures, tables)

    def _ceilings(self, golds: Golds) -> dict[str, float]:
        """Return the agreement of one training run of a half with the other, by pool."""
        found: dict[str, list[float]] = {}
        for (pool, _), gold in golds.items():
            found.setdefault(pool, []).append(float(rank_correlations(gold.again_M[None], gold.first_M)[0]))
        return {pool: float(np.mean(values)) for pool, values in found.items()}

    def _answer(self, agreed: Sequence[Agreed], ceilings: dict[str, float]) -> str:
        told = [one for one in agreed if self._is_told(one)]
        best = {pool: next((one.scorer for one in told if one.pool == pool), "none shown") for pool in ceilings}
        headline = "Agrees most with retraining: " + ", ".join(f"{name} on {pool}" for pool, name in best.items()) + "."
        lines = [
            self._sentence(pool, itself, [one for one in agreed if one.pool == pool])
            for pool, itself in ceilings.items()
        ]
        return "\n".join([headline, *lines])

    def _is_told(self, one: Agreed) -> bool:
        """Whether a scorer is shown to agree, and is neither the gold itself nor a placebo."""
        return one.verdict == AGREES and one.scorer not in (self.gold, *self.placebos)

    def _answer_table(self, agreed: Sequence[Agreed], ceilings: dict[str, float]) -> Table:
        """Return which scorer agrees most on each pool, and its cost."""
        rows: list[list[Cell]] = []
        for pool, itself in ceilings.items():
            own = [one for one in agreed if one.pool == pool]
            best = next((one for one in own if self._is_told(one)), None)
            gold = next(one for one in own if one.scorer == self.gold)
            cells: list[Cell] = ["none shown", None, "", None] if best is None else [
                best.verdict, best.sums, best.scorer, _share(best, gold)
            ]  # fmt: skip
            rows.append([pool, *cells, perfect(itself)])
        columns = [
            self.pool, "verdict", "linear datamodeling score", "use", "cost of retraining", "an exact prediction",
        ]  # fmt: skip
        note = "Of the scorers shown to agree, the one that agrees most. It was chosen after seeing all."
        return Table("agreement", "Which score to trust, and its cost", note, columns, rows, is_answer=True)

    def _sentence(self, pool: str, itself: float, own: Sequence[Agreed]) -> str:
        gold = next(one for one in own if one.scorer == self.gold)
        others = [one for one in own if one is not gold and one.scorer not in self.placebos]
        told = [one for one in others if self._is_told(one)]
        start = (
            f"On {pool}, values fitted to retraining predict held-out halves with rank correlation {_said(gold.sums)} "
            f"(an exact prediction: {perfect(itself):.2f})"
        )
        reverse = [one.scorer for one in others if one.verdict == REVERSE]
        wrong = f"; the wrong way round: {listed(reverse)}" if reverse else ""
        if not told:
            return f"{start}; no scorer is shown to agree{wrong}."
        best, timed = told[0], [one for one in told if one.cost.seconds is not None]
        cheap = min(timed, key=lambda one: one.cost.seconds or 0.0, default=best)
        text = (
            f"{start}; {len(told)} of {len(others)} scorers agree, {best.scorer} most, {_said(best.sums)}, at "
            f"{_times(best, gold)}"
        )
        if cheap is not best:
            text += f"; the cheapest that agrees is {cheap.scorer}, {_said(cheap.sums)}, at {_times(cheap, gold)}"
        return f"{text}{wrong}."

    def _board(self, agreed: Sequence[Agreed]) -> Table:
        rows: list[list[Cell]] = []
        for one in agreed:
            gold = next((other for other in agreed if other.pool == one.pool and other.scorer == self.gold), one)
            name = f"{one.scorer} (placebo)" if one.scorer in self.placebos else one.scorer
            rows.append([
                name, one.verdict, one.sums, one.pool, one.p_holm, _share(one, gold), one.means, one.values,
                one.cost.seconds, scaled(one.cost.flops, 1e12), one.p,
            ])  # fmt: skip
        columns = [
            "scorer", "verdict", "linear datamodeling score", self.pool, "p (Holm)", "cost of retraining",
            "by mean per token", "with the values of groups", f"scoring [{agreed[0].unit}]", "scoring [TFLOPs]", "p",
        ]  # fmt: skip
        note = (
            "Spearman's correlation of the sum of a scorer's goodness over a half with the worth of the half (the mean "
            f"of two training runs), {100 * (1 - self.alpha):g} % interval over halves; p by permuting scores among "
            f"the groups, Holm-corrected over {len(rows)} rows. By mean per token: with the mean over the tokens of "
            "the half in place of the sum. Scoring includes the models that the score uses."
        )
        return Table("scorers", "Agreement with retraining", note, columns, rows)

    def _ceiling_table(self, golds: Golds) -> Table:
        rows: list[list[Cell]] = []
        for (pool, seed), gold in golds.items():
            part = agreement_of(gold.again_M, gold.first_M)
            itself, _ = joined([part], self.alpha)
            spread, noise = float(gold.worth.std(ddof=1)), float((gold.first_M - gold.again_M).std(ddof=1)) / 2
            rows.append(
                [pool, seed, len(gold.values_C), len(gold.first_M), itself, perfect(itself.value), spread, noise]
            )
        columns = [
            self.pool, "seed", "groups", "held-out halves", "retraining with itself", "an exact prediction",
            "spread of the worth [nats/token]", "of which noise [nats/token]",
        ]  # fmt: skip
        note = (
            "Rank correlation between two training runs on the same half from different seeds, and what a prediction "
            "without error would reach with their mean (the square root of its reliability). Spread and noise: "
            "standard deviations of that mean over halves and over seeds."
        )
        return Table("ceiling", "How well retraining agrees with itself", note, columns, rows)


def agreement_of(first_M: np.ndarray, second_M: np.ndarray) -> Agreement:
    """Return the agreement of two measurements of the same halves, without permutations."""
    return Agreement(float(rank_correlations(first_M[None], second_M)[0]), np.zeros(1), len(first_M))


def _said(cell: Ranged) -> str:
    return f"{cell.value:.2f} [{cell.low:.2f}, {cell.high:.2f}]"


def _share(one: Agreed, gold: Agreed) -> float | None:
    """Return the cost of a scorer as a share of that of retraining; None where one is not recorded."""
    return None if one.cost.seconds is None or not gold.cost.seconds else one.cost.seconds / gold.cost.seconds


def _times(one: Agreed, gold: Agreed) -> str:
    share = _share(one, gold)
    if share is None:
        return "a cost that is not recorded"
    return f"{'less than 0.01' if share < 1e-4 else format(100 * share, '.2g')} % of the cost of retraining"
