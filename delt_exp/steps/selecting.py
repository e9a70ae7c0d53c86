"""Which documents the run keeps, and what it cost to choose them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.identity import identity
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.files import read_json, write_json
from delt_exp.model.cost import total
from delt_exp.proxy.base import ProxyModel
from delt_exp.proxy.trained import looking
from delt_exp.report.stages import SELECTION
from delt_exp.scorer.base import Forecasting, sizes_of
from delt_exp.selector.reading import Reading, ReadingSelector, Selection
from delt_exp.steps.training import Training


@dataclass(frozen=True)
class Choice:
    """What was kept. flops: estimated operations of a selector that reads documents, its training runs included."""

    selection: Selection
    flops: float


def select(training: Training, candidates: TokenizedCorpus) -> Choice:
    """Choose the documents; its cost is what the selector computes, the models that it trains included."""
    trained_flops: list[float] = []

    def trained_on(documents: TokenizedCorpus, kept: NDArray[np.intp]) -> ProxyModel:
        job = training.job(documents, training.sequence(documents, np.sort(kept)))
        model = training.trained(job)
        trained_flops.append(model.result["flops"])
        return looking(job, model)

    reading = Reading(candidates, training.target, training.resources, training.seen, trained_on)
    with training.resources.store.serves(SELECTION):
        selection = _selected(training, reading)
        return Choice(selection, _reading_flops(training, candidates) + sum(trained_flops))


def _selected(training: Training, reading: Reading) -> Selection:
    selector = training.parts.selector
    if isinstance(selector, ReadingSelector):
        return selector.select(reading)
    return Selection(selector(reading.seen), reading.candidates)


def _reading_flops(training: Training, candidates: TokenizedCorpus) -> float:
    """Return the estimated operations of a selector that reads documents, without those already counted as scoring.

    A stage, small as it is: sizes of networks need torch, which a run that reuses everything does not import.
    """
    selector, scorer = training.parts.selector, training.parts.scorer
    resources, target = training.resources, training.target
    if not isinstance(selector, ReadingSelector):
        return 0.0

    def build(folder: Path) -> None:
        sizes = sizes_of(candidates.tokens.lengths, target, resources.run_tokenizer)
        paid = scorer.forecast(sizes, resources) if isinstance(scorer, Forecasting) else []
        costs = [cost for cost in selector.forecast(sizes, resources) if cost not in paid]
        write_json(folder / "flops.json", total(costs).flops)

    inputs = {
        "selector": identity(selector),
        "scorer": identity(scorer),
        "tokens": candidates.tokens.digest,
        "target": target.tokens.digest if target is not None else None,
    }
    return float(read_json(resources.store.get("forecast", inputs, build).path / "flops.json"))
