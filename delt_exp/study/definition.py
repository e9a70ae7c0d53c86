"""What a study asks, and the runs that answer it."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from omegaconf import DictConfig

from delt_exp.config.fields import Seed, settings
from delt_exp.errors import ConfigError
from delt_exp.report.findings import Findings
from delt_exp.study.forecast import Nominal
from delt_exp.study.record import StudyRecord

Choice = Any
"""An option of a config group, or the value of a key; or {label: [override, ...]}, several overrides under one name."""


class StudyReport(Protocol):
    """Turns the finished runs of a study into findings; fields of an implementation are keys of the study's YAML."""

    def findings(self, study: StudyRecord) -> Findings:
        """Return the findings from the finished runs; raises DataError when there are too few of them."""


@runtime_checkable
class Foresees(Protocol):
    """A report that knows what its study can show before it runs."""

    def outlook(self, configs: Sequence[DictConfig]) -> Sequence[str]:
        """Return what the runs of these configurations will be able to show, in sentences."""


@runtime_checkable
class KnowsPower(Protocol):
    """A report that compares arms and knows from finished runs what its study can see."""

    def power(self, study: StudyRecord) -> Sequence[str]:
        """Return which differences the runs that are planned will show, and what smaller ones would take."""


@dataclass(frozen=True)
class Job:
    """One run. arm: what was varied, by its label; overrides: of the command line; slices: which parts asked for it."""

    arm: Mapping[str, str]
    seed: int
    overrides: tuple[str, ...]
    slices: tuple[str, ...]


@settings
class Study:
    """Runs every combination of each slice, over `seeds`; a run that several slices ask for is one run.

    registered: whether to fix question, runs, hold-out sets and report in the store before the first run, see
    `delt_exp.study.registration`. slices: name -> {dimension: choices}, null for one that a study it is based on has
    and this one has not; a dimension is the group or key that is varied, or any name where each choice is a label with
    overrides of its own; `{seed}` in them stands for the seed (`${seed}` would be that of the sweep). base: overrides
    of a run that comes first, null for none; with `{seed}` in them each seed has one of its own. `{base}` in any
    override of the others stands for its folder. common: overrides of all runs but the base, `{seed}` and `{base}` in
    them as above. forecast: sizes to tell GPU-hours by before a sweep starts, null for no forecast.
    """

    question: str
    registered: bool
    seeds: Sequence[Seed]
    base: Sequence[str] | None
    common: Sequence[str]
    slices: Mapping[str, Mapping[str, Sequence[Choice]] | None]
    report: StudyReport
    forecast: Nominal | None

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"study.seeds is {list(self.seeds)}; give at least one seed, each once")
        if not self._own_slices:
            raise ConfigError("study.slices is empty; a study needs at least one slice of runs")
        for name, dimensions in self._own_slices.items():
            for dimension, choices in dimensions.items():
                if not choices:
                    raise ConfigError(f"study.slices.{name}.{dimension} has no choices; give at least one")

    @property
    def _own_slices(self) -> dict[str, Mapping[str, Sequence[Choice]]]:
        return {name: dimensions for name, dimensions in self.slices.items() if dimensions is not None}

    def jobs(self) -> list[Job]:
        """Return the runs, seed after seed, so that an unfinished study has whole comparisons."""
        found: dict[tuple[str, ...], Job] = {}
        for seed, (name, dimensions) in itertools.product(self.seeds, self._own_slices.items()):
            for choices in itertools.product(*(_choices(*item) for item in dimensions.items())):
                arm = {dimension: label for dimension, (label, _) in zip(dimensions, choices, strict=True)}
                texts = [text for _, texts in choices for text in texts]
                overrides = (*at_seed(texts, seed), f"seed={seed}")
                earlier = found.get(overrides)
                slices = (*earlier.slices, name) if earlier else (name,)
                found[overrides] = Job({**earlier.arm, **arm} if earlier else arm, seed, overrides, slices)
        return list(found.values())


def at_seed(texts: Sequence[str], seed: int) -> list[str]:
    """Return overrides with the seed put in for `{seed}`."""
    return [text.replace("{seed}", str(seed)) for text in texts]


def _choices(dimension: str, choices: Sequence[Choice]) -> list[tuple[str, list[str]]]:
    """Return (label, overrides) for each choice."""
    pairs: list[tuple[str, list[str]]] = []
    for choice in choices:
        if isinstance(choice, Mapping):
            pairs += [(str(label), list(texts)) for label, texts in choice.items()]
        else:
            pairs.append((str(choice), [f"{dimension}={choice}"]))
    return pairs
