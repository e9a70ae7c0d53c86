"""The mixture that small models recommend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import NonNegativeFloat, PositiveFloat, Seed, checked
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import read_json
from delt_exp.mixture.runs import MixtureRuns, is_drawn, runs_of
from delt_exp.mixture.sources import Sources
from delt_exp.rows.draws import generator
from delt_exp.statistics.mixing_law import lowest


@checked
def proposed(
    sources: Sources, *, study: str | None, by: Literal["law", "best_run"],
    objective: Mapping[str, NonNegativeFloat] | None, max_epochs: PositiveFloat | None, permuted: bool,
    seed: Seed,
) -> NDArray[np.float64]:  # fmt: skip
    """Return the shares at which the weighted loss is lowest by mixing laws, fitted to the small models of a study.

    study: the folder of a study with runs on mixtures of `mixture=dirichlet`, of which those with this seed are read:
    every seed has a proposal of its own. by: `law`, or `best_run`, the mixture of the run with the lowest objective,
    which needs no law. objective: weights of the losses on evaluation sets of these runs. max_epochs: most times that a
    source is read. permuted: a placebo, for which mixtures and losses are paired at random. Raises DataError while some
    of these runs are not finished, and for `best_run` where none of them reads sources so rarely.
    """
    if not objective:
        raise ConfigError(
            f"mixture.objective={objective} names nothing; give evaluation sets of the study their weights: {{news: 1}}"
        )
    if study is None:
        raise ConfigError("mixture.study is null; give the folder of a study with small models: outputs/mixture")
    runs = _finished_runs(study, seed, list(objective), sources)
    if permuted:
        rows = generator(seed, "placebo of a mixture").permutation(len(runs.losses_RS))
        runs = MixtureRuns(runs.sources, runs.sets, runs.shares_RG, runs.losses_RS[rows])
    columns = [list(runs.sources).index(name) for name in sources.names]
    most_G = np.ones(len(columns))
    if max_epochs is not None:
        most_G[columns] = max_epochs * sources.tokens_G / sources.budget_tokens
    weights_S = runs.weights(objective, "mixture.objective")
    if by == "law":
        return lowest(runs.laws(), weights_S, most_G)[columns]
    objectives_R = np.where((runs.shares_RG <= most_G).all(1), runs.losses_RS @ weights_S, np.inf)
    if np.isinf(objectives_R).all():
        raise DataError(
            f"{study}: every drawn mixture reads some source more than {max_epochs:g} times; raise mixture.max_epochs"
        )
    return np.asarray(runs.shares_RG[objectives_R.argmin()][columns])


def _finished_runs(study: str, seed: int, sets: Sequence[str], sources: Sources) -> MixtureRuns:
    """Return the runs of one seed on drawn mixtures; raises DataError unless all are finished and mix `sources`."""
    planned = _drawn_runs(Path(study).expanduser(), seed)
    finished = [run for run in planned if run.record() is not None]
    if len(finished) < len(planned) or not planned:
        raise DataError(
            f"{study}: {len(finished)} of {len(planned)} runs on mixtures drawn with seed {seed} are finished; the "
            "proposed mixture needs all of them: repeat the study's command once they are"
        )
    runs = runs_of(finished, sets)
    if wrong := sorted(set(runs.sources) ^ set(sources.names)):
        raise DataError(f"{study} mixes {', '.join(runs.sources)}, and {wrong[0]} is not in both; mix the same sources")
    return runs


@dataclass(frozen=True)
class _DrawnRun:
    """One run; failed_ns: when its failure was noted, None if it did not fail."""

    folder: str
    failed_ns: int | None

    def record(self) -> dict[str, Any] | None:
        path = Path(self.folder) / "record.json"
        if not path.exists() or (self.failed_ns is not None and path.stat().st_mtime_ns <= self.failed_ns):
            return None
        return read_json(path)  # of this launch, which repeats what failed in an earlier one


def _drawn_runs(study: Path, seed: int) -> list[_DrawnRun]:
    """Return the runs of one seed on drawn mixtures, from study.json itself: `delt_exp.study` imports this package."""
    file = study / "study.json"
    if not file.exists():
        raise DataError(f"{study} has no study.json; give the folder of a study of mixtures, such as outputs/mixture")
    runs, noted_ns = read_json(file)["runs"], file.stat().st_mtime_ns
    return [
        _DrawnRun(run["folder"], noted_ns if run["error"] else None)
        for run in runs
        if is_drawn(run["arm"]) and run["seed"] == seed
    ]
