"""Scores of a scorer that is a part of another one."""

from dataclasses import replace

from delt_exp.config.keys import moved, naming
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.resources import Resources
from delt_exp.scorer.base import Floats, Forecasting, Pool, ReadsFiles, Scorer
from delt_exp.scorer.stage import scores_stage
from delt_exp.scorer.table import ScoreTable
from delt_exp.store.evidence import Evidence, labelled


def part_table(pool: Pool, name: str, part: Scorer) -> ScoreTable:
    """Return the scores of all candidates as a stage of their own, reused where a run has used the part itself.

    The evidence of the part is added to that of the whole, under `name`.
    """
    table = scores_stage(pool.resources, part, pool.candidates, pool.target)
    pool.evidence.add(table.evidence, name)
    return table


def check_part(place: str, part: Scorer) -> None:
    """Check the files of a part; place: its key, as the user wrote it."""
    if isinstance(part, ReadsFiles):
        with naming(moved(part, "scorer", place)):
            part.check_files()


def part_costs(name: str, part: Scorer, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
    """Return the forecast of a part, its phases under `name`; nothing for a part that forecasts none."""
    costs = part.forecast(sizes, resources) if isinstance(part, Forecasting) else []
    return [replace(cost, phase=labelled(name, cost.phase)) for cost in costs]


def part_scores(pool: Pool, name: str, part: Scorer) -> Floats:
    """Return the scores [R] of `pool.rows`, as the part gives them: of all candidates as `part_table`, of some alone.

    name: of the part's evidence, and of the folder in `work_dir` from which a killed call continues.
    """
    if pool.chosen is None:
        return part_table(pool, name, part).scores
    work = pool.work_dir / name
    inner = replace(pool, work_dir=work, evidence=Evidence(work / "evidence"))
    work.mkdir(parents=True, exist_ok=True)
    scores = part.score(inner)
    pool.evidence.add(inner.evidence, name)
    return scores
