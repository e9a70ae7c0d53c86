"""A study of small models whose losses follow planted laws, as its runs would leave it on disk."""

import numpy as np

from delt_exp.files import write_json
from delt_exp.mixture.dirichlet import dirichlet
from delt_exp.mixture.sources import Sources
from delt_exp.statistics.mixing_law import MixingLaw
from delt_exp.study.record import PlannedRun, StudyRecord

SOURCES = Sources(("code", "news", "web"), np.array([100, 300, 600]), 1000)
# The mean of both is lowest at shares of 0.40 code and 0.60 news, by a fine grid in test_proposed.py.
LAWS = {"code": MixingLaw(1.0, np.array([-1.0, 0.5, 0.6])), "news": MixingLaw(2.0, np.array([0.6, -0.9, 0.5]))}


def sources(*tokens, budget_tokens=1000):
    """Return up to three sources of so many tokens."""
    return Sources(SOURCES.names[: len(tokens)], np.array(tokens, np.int64), budget_tokens)


def mixture_rows(shares):
    columns = {"source": SOURCES.names, "share": shares, "trained": shares, "epochs": shares * 2, "natural": shares}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [{key: value if key == "source" else float(value) for key, value in row.items()} for row in rows]


def finished_run(folder, arm, seed, shares, noise=0.0, rng=None):
    """Write the record of a run on these shares; losses are those of the laws, with noise."""
    losses = {name: float(law.predict(shares[None])[0]) for name, law in LAWS.items()}
    if rng is not None:
        losses = {name: loss + noise * rng.normal() for name, loss in losses.items()}
    folder.mkdir(parents=True)
    results = [{"dataset": name, "metric": "loss", "value": loss} for name, loss in losses.items()]
    write_json(folder / "record.json", {"id": "x", "results": results, "mixture": mixture_rows(shares)})
    return PlannedRun(arm, seed, [], ["small models"], str(folder), None)


def study_on_disk(folder, num_draws=12, seeds=(0,), noise=0.001):
    """Write a study with `num_draws` drawn mixtures for each seed and return its record."""
    runs = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for draw in range(num_draws):
            shares = dirichlet(SOURCES, draw=draw, least_concentration=1.0, most_concentration=16.0, seed=seed)
            arm = {"mixture": "dirichlet", "mixture.draw": str(draw)}
            runs.append(finished_run(folder / "runs" / f"{seed}-{draw}", arm, seed, shares, noise, rng))
    record = StudyRecord(folder, "mixture", "?", {}, runs, [])
    record.write({})
    return record
