"""Scoring as a stage of the store."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from delt_exp.config.identity import identity
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.encoder.base import Encoder
from delt_exp.model.cost import PhaseCost
from delt_exp.resources import Resources
from delt_exp.scorer.base import Forecasting, Pool, Scorer
from delt_exp.scorer.table import ScoreTable
from delt_exp.store.evidence import Evidence

FORMAT = 2  # bump when the same scores leave other files


@dataclass(frozen=True, eq=False)
class Scores(ScoreTable):
    """The scores of a corpus, and the folder of their stage."""

    folder: Path

    @property
    def evidence(self) -> Evidence:
        """What the scorer shows of its work."""
        return Evidence(self.folder / "evidence")


def scores_stage(
    resources: Resources, scorer: Scorer, candidates: TokenizedCorpus, target: TokenizedCorpus | None
) -> Scores:
    """Return one score for every candidate; raises DataError when the scorer gives anything but finite numbers."""
    needs_tokens, target = "tokens" in scorer.needs, target if "target" in scorer.needs else None
    inputs: dict[str, Any] = {
        "format": FORMAT,
        "scorer": identity(scorer),
        "corpus": candidates.corpus.digest,
        "tokens": candidates.tokens.digest if needs_tokens else None,
        "target": target.tokens.digest if target is not None else None,
        "precision": resources.trainer.resolved_precision() if needs_tokens else None,
    }
    if any(found := _inputs_of_encoders(scorer, resources)):
        inputs["encoders"] = found

    def build(folder: Path) -> None:
        work, evidence = folder / "work", Evidence(folder / "evidence")
        work.mkdir(exist_ok=True)
        pool = Pool(candidates, target, resources, work, evidence)
        table = ScoreTable(candidates.corpus.ids, scorer.score(pool).astype(np.float32), scorer.meaning)
        table.save(folder / "scores.parquet")
        costs = scorer.forecast(pool.sizes, resources) if isinstance(scorer, Forecasting) else []
        evidence.count_flops(_by_phase(costs))
        shutil.rmtree(work)

    path = resources.store.get("scores", inputs, build, resumable=True).path
    table = ScoreTable.load(path / "scores.parquet")
    return Scores(table.ids, table.scores, table.meaning, path)


def _inputs_of_encoders(component: Any, resources: Resources) -> list[dict[str, Any]]:
    """Return what decides the vectors of the encoders inside a component besides their fields.

    Which model `encoder=auto` finds is among it, and the precision that the model of `encoder=proxy` is trained in.
    """
    if isinstance(component, Encoder):
        return [component.inputs(resources)]
    parts: list[Any] = []
    if is_dataclass(component) and not isinstance(component, type):
        parts = [getattr(component, field.name) for field in fields(component)]
    elif isinstance(component, Mapping):
        parts = list(component.values())
    return [inputs for part in parts for inputs in _inputs_of_encoders(part, resources)]


def _by_phase(costs: list[PhaseCost]) -> dict[str, float]:
    """Return the operations of each phase; costs are named `phase` or `phase: part`."""
    flops: dict[str, float] = {}
    for cost in costs:
        phase = cost.phase.split(":")[0]
        flops[phase] = flops.get(phase, 0.0) + cost.flops
    return flops
