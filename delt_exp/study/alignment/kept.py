"""Does alignment say before training which selection wins? Gain against alignment of what each method kept."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from omegaconf import DictConfig

from delt_exp.config.build import plain
from delt_exp.config.fields import ProperShare, Seed, settings
from delt_exp.files import digest
from delt_exp.report.findings import Findings
from delt_exp.statistics.correlation import detectable_r
from delt_exp.statistics.families import Comparison, compare, holm, holm_p
from delt_exp.statistics.foresight import MIN_CHOICES, foresight, picks
from delt_exp.statistics.paired import Estimate, MetricArm
from delt_exp.study.alignment.kept_data import Foreseen, Kept, kept_of
from delt_exp.study.alignment.kept_tables import (
    answer,
    correlations_table,
    figure,
    kept_table,
    picks_table,
    tasks_table,
)
from delt_exp.study.comparison.arms import read_panels
from delt_exp.study.record import StudyRecord
from delt_exp.study.trust import trust


@settings
class KeptReport:
    """Relates the alignment of what each method kept with its gain over the baseline, task by task.

    panel: the dimension of tasks, null for one. share: the dimension of the share kept, null where none is varied; each
    task with each share counts as a task. metric, baseline and placebos as in `ComparisonReport`; placebos and the
    baseline are no methods to pick. families: methods that keep much the same, whose mean counts once in correlations
    and their p, because they are not exchangeable; picks are of single methods. permutations: of methods, for p.
    """

    panel: str | None
    share: str | None
    metric: str
    baseline: Mapping[str, str | int | float]
    placebos: Sequence[str]
    families: Mapping[str, Sequence[str]]
    alpha: ProperShare
    permutations: Annotated[int, Ge(100)]
    seed: Seed

    def outlook(self, configs: Sequence[DictConfig]) -> list[str]:
        """Return which rank correlation the study can find, from the numbers of methods and tasks."""
        of_one_seed = [cfg for cfg in configs if cfg.seed == configs[0].seed]
        in_one = sum(len(methods) - 1 for methods in self.families.values())
        count = max(len({digest(plain(cfg.scorer)) for cfg in of_one_seed}) - len(self.placebos) - in_one, 1)
        texts = [[plain(cfg[key]) for key in ("train_dataset", "eval_dataset", "selector")] for cfg in of_one_seed]
        num_tasks = len(set(map(digest, texts)))
        num_metrics = max(len(configs[0].alignment), 1)
        low, high = (_detectable(count, number, self.alpha / num_metrics) for number in (num_tasks, 1))
        return [
            f"power: with about {count} methods and families of them, a mean rank correlation of alignment and gain is "
            f"detected with 80 % power from {low:.2f} if tasks are independent, from {high:.2f} if methods do the same "
            f"in all, after Holm's correction over {num_metrics} metrics."
        ]

    def findings(self, study: StudyRecord) -> Findings:
        """Return correlations, picks and every point; raises DataError for too few methods, or without alignment."""
        labels = {key: str(label) for key, label in self.baseline.items()}
        panels = read_panels(study, self.panel, self.metric, labels, self.placebos)
        kept = kept_of(panels, self.share, self.placebos, study)
        foreseen = self._foreseen(kept)
        best = max(foreseen, key=lambda metric: foreseen[metric].found.rho.value)
        tables = [
            correlations_table(foreseen, self.alpha), picks_table(kept, foreseen),
            tasks_table(kept, foreseen, self.alpha), kept_table(kept),
        ]  # fmt: skip
        told = [*answer(kept, foreseen, self.alpha), *kept.remarks, trust(study, self.metric)]
        text = "\n".join(filter(None, told))
        return Findings(text, [figure(kept, best)], [table for table in tables if table.rows])

    def _foreseen(self, kept: Kept) -> dict[str, Foreseen]:
        options: dict[str, Any] = {"alpha": self.alpha, "permutations": self.permutations, "seed": self.seed}
        known_PAS, gain_PAS = kept.by_family(self.families)
        found = {name: foresight(known, gain_PAS, **options) for name, known in known_PAS.items()}
        p_M = holm_p(np.array([one.p for one in found.values()]))
        p_MP = holm_p(np.concatenate([one.p_P for one in found.values()])).reshape(len(found), -1)
        pairs = [_pick_comparisons(name, known, kept, self.alpha) for name, known in kept.known_PAS.items()]
        against_any = holm([pair[0] for pair in pairs if pair])
        foreseen = {}
        for number, (name, one) in enumerate(found.items()):
            pair = pairs[number]
            compared = (against_any[number], *pair[1:]) if pair else (None, None, None)
            foreseen[name] = Foreseen(one, float(p_M[number]), p_MP[number].tolist(), *compared)
        return foreseen


def _pick_comparisons(
    name: str, known_PAS: NDArray[np.float64], kept: Kept, alpha: float
) -> tuple[Comparison, Comparison, Comparison | None] | None:  # fmt: skip
    """Return the pick by a metric against one at random, by training all, and by other tasks; None for one seed."""
    found = picks(known_PAS, kept.gain_PAS)
    if found.trained_S is None:
        return None

    def arm(label: str, values_S: NDArray[np.float64]) -> MetricArm:
        return MetricArm(label, kept.seeds_S, values_S, "higher", kept.unit)

    own = arm(name, found.foreseen_S)
    by_chance, by_training = arm("a method at random", found.any_S), arm("training all", found.trained_S)
    elsewhere = None if found.elsewhere_S is None else arm("the best on other tasks", found.elsewhere_S)
    return (
        compare(own, by_chance, alpha),
        compare(own, by_training, alpha),
        None if elsewhere is None else compare(own, elsewhere, alpha),
    )


def _detectable(methods: int, tasks: int, alpha: float) -> float:
    """Return the mean Spearman correlation over tasks that is detected with 80 % power.

    The variance of its Fisher's z is 1.06 / (methods - 3) (Fieller, Hartley and Pearson 1957) over the tasks.
    """
    if methods <= MIN_CHOICES:
        return 1.0
    z = Estimate(0.0, (1.06 / (methods - 3) / tasks,), (methods - 1,), 1.0, "corpora")
    return detectable_r(z, alpha) or 1.0
