"""What a metric says about the loss beyond cheaper ones, and how much of it a study can find."""

from collections.abc import Mapping, Sequence

from omegaconf import DictConfig

from delt_exp.config.build import plain
from delt_exp.files import digest
from delt_exp.report.findings import Cell, Table
from delt_exp.statistics.correlation import detectable_r
from delt_exp.statistics.found_relation import Relation
from delt_exp.statistics.paired import Estimate

Groups = Mapping[str, Mapping[str, Relation]]
"""Kind of evaluation sets -> metric -> relation with the loss; the kind `all` is every set."""


def added_table(groups: Groups, covariates: Sequence[str]) -> Table:
    """Return the partial correlation of each metric that has one, kind by kind."""
    rows: list[Sequence[Cell]] = []
    for kind, relations in groups.items():
        for metric, relation in relations.items():
            if relation.partial_r is not None:
                line, found = relation.primary, relation.partial_detectable
                rows.append([metric, _verdict(relation), kind, relation.partial_r, found, line.r, line.num_evaluation])
    names = " and ".join(covariates)
    note = (
        f"Partial correlation with the loss within evaluation sets, given {names}; of one of these, given those before "
        "it. A metric adds where the interval lies below 0. Detectable: the true partial |r| that this study "
        "detects with 80 % power. Intervals are uncorrected."
    )
    columns = ["metric", f"given {names}", "evaluation sets", "partial r", "detectable", "r", "number of sets"]
    return Table("added", f"What a metric adds to {names}", note, columns, rows)


def _verdict(relation: Relation) -> str:
    return "adds" if relation.partial_r is not None and relation.partial_r.shows(-1) else "not shown to add"


def added_sentence(groups: Groups, metric: str, covariates: Sequence[str]) -> str:
    """Return what a metric adds on each kind of evaluation sets; empty where nothing was measured to add to."""
    parts = []
    for kind, relations in groups.items():
        r, found = relations[metric].partial_r, relations[metric].partial_detectable
        if r is not None:
            reach = "" if found is None else f"; {found:.2f} would be detected with 80 % power"
            sets = "all evaluation sets" if kind == "all" else kind
            verb = "adds" if r.shows(-1) else "is not shown to add"
            parts.append(f"{verb} on {sets} ({r.value:.2f} [{r.low:.2f}, {r.high:.2f}]{reach})")
    return f"\nPartial r given {' and '.join(covariates)}: {metric} {', '.join(parts)}." if parts else ""


def power_sentence(
    configs: Sequence[DictConfig], metric: str, covariates: Sequence[str], kinds: Mapping[str, Sequence[str]],
    alpha: float,
) -> str:  # fmt: skip
    """Return which partial correlation runs of these configurations find with power 0.8, as a sentence.

    A range, for it hangs on how much evaluation sets agree, which only finished runs tell.
    """
    corpora = len({digest(plain(cfg.train_dataset)) for cfg in configs})
    names = list(dict.fromkeys(str(name) for cfg in configs for name in cfg.eval_dataset or {}))
    groups = {"all": names} | {kind: [name for name in names if name in chosen] for kind, chosen in kinds.items()}
    found = {kind: detectable_range(corpora, len(sets), len(covariates), alpha) for kind, sets in groups.items()}
    texts = [
        f"{'all' if kind == 'all' else kind} ({len(groups[kind])} sets) from {low:.2f} to {high:.2f}"
        for kind, (low, high) in found.items()
    ]
    given = f"a partial correlation given {' and '.join(covariates)}" if covariates else "a correlation"
    return (
        f"power: with {corpora} training corpora, {given} of {metric} and the loss is detected with 80 % power if "
        f"|r| is at least: {'; '.join(texts)}. Lower end: pairs are independent; upper end: all evaluation sets agree "
        "on the corpora."
    )


def detectable_range(corpora: int, sets: int, covariates: int, alpha: float) -> tuple[float, float]:
    """Return the partial |r| that is detected with 80 % power if pairs are independent, and if all sets agree.

    The variance of Fisher's z is 1 / (degrees of freedom - 1): of all pairs around the means of their sets, or of the
    corpora alone. That of the jackknife is larger, in simulations by about corpora / (corpora - 2). 1 where too few
    corpora leave no degree of freedom. Simulated power at these: 0.76 to 0.85 (14 corpora, 10 and 5 sets; 6 with 7).
    """
    larger = corpora / max(corpora - 2, 1)
    dfs = (sets * (corpora - 1) - 1 - covariates, corpora - 2 - covariates)
    low, high = (
        detectable_r(Estimate(0.0, (larger / (df - 1),), (corpora - 1,), 1.0, "corpora"), alpha) if df > 1 else 1.0
        for df in dfs
    )
    return low or 1.0, high or 1.0
