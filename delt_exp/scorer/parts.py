"""Scores of a scorer that is a part of another one."""

from dataclasses import replace

from delt_exp.scorer.base import Floats, Pool, Scorer
from delt_exp.scorer.stage import scores_stage
from delt_exp.scorer.table import ScoreTable


def part_table(pool: Pool, part: Scorer) -> ScoreTable:
    """Return the scores of all candidates as a stage of their own, reused where a run has used the part itself.

    The evidence of the part is added to that of the whole.
    """
    table = scores_stage(pool.resources, part, pool.candidates, pool.target)
    pool.evidence.add(table.evidence)
    return table


def part_scores(pool: Pool, name: str, part: Scorer) -> Floats:
    """Return the scores [R] of `pool.rows`, as the part gives them: of all candidates as `part_table`, of some alone.

    name: of the folder in `work_dir` from which a killed call continues.
    """
    if pool.chosen is None:
        return part_table(pool, part).scores
    inner = replace(pool, work_dir=pool.work_dir / name)
    inner.work_dir.mkdir(parents=True, exist_ok=True)
    return part.score(inner)
