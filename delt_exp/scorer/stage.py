"""Scoring as a stage of the store."""

import shutil
from pathlib import Path

from delt_exp.config.identity import identity
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.files import write_json
from delt_exp.resources import Resources
from delt_exp.scorer.base import Forecasting, Pool, Scorer
from delt_exp.scorer.table import ScoreTable


def scores_stage(
    resources: Resources, scorer: Scorer, candidates: TokenizedCorpus, target: TokenizedCorpus | None
) -> ScoreTable:
    """Return one score for every candidate; raises DataError when the scorer gives anything but finite numbers."""
    reads_tokens = scorer.READS_TOKENS
    inputs = {
        "scorer": identity(scorer),
        "corpus": candidates.corpus.digest,
        "tokens": candidates.tokens.digest if reads_tokens else None,
        "target": target.tokens.digest if target is not None and scorer.READS_TARGET else None,
        "precision": resources.trainer.resolved_precision() if reads_tokens else None,
    }

    def build(folder: Path) -> None:
        work, evidence = folder / "work", folder / "evidence"
        work.mkdir(exist_ok=True)
        evidence.mkdir(exist_ok=True)
        read_target = target if scorer.READS_TARGET else None
        pool = Pool(candidates, read_target, resources, work, evidence)
        table = ScoreTable(candidates.corpus.ids, scorer.score(pool), scorer.meaning)
        table.save(folder / "scores.parquet")
        costs = scorer.forecast(pool) if isinstance(scorer, Forecasting) else []
        write_json(evidence / "flops.json", sum(cost.flops for cost in costs))
        shutil.rmtree(work)

    return ScoreTable.load(resources.store.get("scores", inputs, build, resumable=True).path / "scores.parquet")
