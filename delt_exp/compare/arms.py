"""What is compared, read from the paths that a user names, and refused where it is not alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from delt_exp.compare.answers import Answers, Choice, ReadResults
from delt_exp.compare.lm_eval_folder import read_lm_eval, results_files
from delt_exp.compare.run_folder import RECORD, read_run
from delt_exp.compare.table_file import SUFFIXES, read_table
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import digest, file_sha256

NAMED = 3  # items in a message


@dataclass(frozen=True, eq=False)
class Arm:
    """A model, or training runs that differ in their seed alone: answers by seed, then task, both in the same order."""

    name: str
    by_seed: Mapping[int, Mapping[str, Answers]]

    @property
    def seeds(self) -> list[int]:
        """The seeds, ascending."""
        return list(self.by_seed)

    @property
    def tasks(self) -> list[str]:
        """The tasks, the same for every seed."""
        return list(next(iter(self.by_seed.values())))

    def answers(self, task: str) -> list[Answers]:
        """Return the answers on a task, seed by seed."""
        return [tasks[task] for tasks in self.by_seed.values()]

    def is_crossed(self, task: str) -> bool:
        """Whether all seeds have the same items; if not, each has its own, or DataError is raised."""
        answers = self.answers(task)
        items = [set(one.items_N.tolist()) for one in answers]
        if all(one == items[0] for one in items):
            return True
        if sum(map(len, items)) == len(set().union(*items)):
            return False
        seed, missing = next((s, items[0] ^ one) for s, one in zip(self.seeds, items, strict=True) if one != items[0])
        raise DataError(
            f"{self.name}, {task}: seeds {self.seeds[0]} and {seed} share some items, and {len(missing)} are of one "
            f"of them only ({_some(missing)}); give every seed the same items, or each its own"
        )


@dataclass(frozen=True, eq=False)
class Read:
    """All arms, the first being the baseline, with the groups of tasks and notes on what was chosen or left out."""

    arms: Sequence[Arm]
    groups: Mapping[str, Sequence[str]]
    notes: Sequence[str]


def read_arms(words: Sequence[str], choice: Choice) -> Read:
    """Return the arms of `[NAME=]PATH[,PATH...]`; raises ConfigError or DataError for what cannot be compared."""
    return read_named([_split(word) for word in words], choice)


def read_named(named: Sequence[tuple[str | None, Sequence[Path]]], choice: Choice) -> Read:
    """Return the arms of names, None for one that the paths make, and paths of training runs; raises as `read_arms`."""
    if len(named) < 2:
        raise ConfigError("give at least two results: the first is the baseline, the others are compared with it")
    names = _names(named)
    groups: dict[str, Sequence[str]] = {}
    notes: list[str] = []
    arms = []
    for name, (_, paths) in zip(names, named, strict=True):
        readings = [_reading(path, choice) for path in paths]
        _check_copies(name, paths)
        arms.append(_arm(name, paths, readings))
        for reading in readings:
            groups |= reading.groups
            notes += [note for note in reading.notes if note not in notes]
        if len(paths) > 1 and None in readings[0].by_seed:
            notes.append(
                f"{name}: its {len(paths)} folders are paired with the others in the order in which they are given."
            )
    if choice.metrics or choice.filter is not None or choice.any_prompt:
        _check_flags(choice, [path for _, paths in named for path in paths])
    for arm in arms:
        check_seeds(arm, choice)
        notes += _repeated(arm)
    for arm in arms[1:]:
        check_alike(arms[0], arm, choice)
        if arm.seeds != arms[0].seeds:
            notes.append(
                f"{arm.name} has the seeds {arm.seeds} and {arms[0].name} {arms[0].seeds}: only items are paired, "
                "not seeds."
            )
    return Read(arms, groups, notes)


def _check_flags(choice: Choice, paths: Sequence[Path]) -> None:
    """Raise ConfigError for options of lm-eval's results where there are none."""
    given = {"--metric": bool(choice.metrics), "--filter": choice.filter is not None, "--any-prompt": choice.any_prompt}
    if not any(path.suffix not in SUFFIXES and results_files(path) for path in paths):
        raise ConfigError(
            f"{next(name for name, is_given in given.items() if is_given)} is for results of lm-eval, and none of "
            "these are; leave it out"
        )


def check_seeds(arm: Arm, choice: Choice) -> None:
    """Raise DataError where items of one name are other items in another seed of the arm."""
    for task in arm.tasks:
        first, *others = arm.answers(task)
        for seed, other in zip(arm.seeds[1:], others, strict=True):
            reason = unlike(first, other, choice.any_prompt) if arm.is_crossed(task) else ""
            if reason:
                raise DataError(f"seeds {arm.seeds[0]} and {seed} of {arm.name} cannot be combined on {task}: {reason}")


def _repeated(arm: Arm) -> list[str]:
    """Return the tasks on which items were asked repeatedly."""
    first = {task: arm.answers(task)[0] for task in arm.tasks}
    return [
        f"{arm.name}, {task}: {one.num_rows:,} rows about {len(one.items_N):,} items; an item counts once."
        for task, one in first.items()
        if one.num_rows > len(one.items_N)
    ]


def check_alike(baseline: Arm, arm: Arm, choice: Choice) -> None:
    """Raise DataError unless both have the same tasks and items, asked in the same way, and seeds that can be compared.

    Other seeds on either side are compared where there are at least two of each, over the same items.
    """
    if baseline.seeds != arm.seeds and min(len(baseline.seeds), len(arm.seeds)) == 1:
        raise DataError(
            f"{baseline.name} has the seeds {baseline.seeds} and {arm.name} has {arm.seeds}; the variation between "
            "seeds is known for one side only: give at least two seeds of each, or the same seed"
        )
    other = set(baseline.tasks) ^ set(arm.tasks)
    if other:
        common = " ".join(name for name in baseline.tasks if name in arm.tasks)
        cure = (
            f"evaluate both on them, or compare the common ones: --tasks {common}" if common else "evaluate both on one"
        )
        raise DataError(
            f"{baseline.name} and {arm.name} do not have the same tasks: {_some(other)} is in one only; {cure}"
        )
    for task in baseline.tasks:
        for first, second in _pairs(baseline, arm, task):
            reason = unlike(first, second, choice.any_prompt)
            if reason:
                raise DataError(f"{baseline.name} and {arm.name} cannot be compared on {task}: {reason}")


def _pairs(baseline: Arm, arm: Arm, task: str) -> list[tuple[Answers, Answers]]:
    """Return the answers that must be alike: seed by seed, or of one seed of each where they are others."""
    if baseline.seeds == arm.seeds:
        return list(zip(baseline.answers(task), arm.answers(task), strict=True))
    if not (baseline.is_crossed(task) and arm.is_crossed(task)):
        raise DataError(
            f"{task}: {baseline.name} has the seeds {baseline.seeds} and {arm.name} has {arm.seeds}, each with items "
            "of its own, so nothing can be paired; give both the same seeds"
        )
    return [(baseline.answers(task)[0], arm.answers(task)[0])]


def unlike(first: Answers, second: Answers, any_prompt: bool) -> str:
    """Return why the answers do not answer the same questions, with the cure; nothing where they do."""
    if (first.metric, first.unit, first.better) != (second.metric, second.unit, second.better):
        return f"one has {first.metric} [{first.unit}], the other {second.metric} [{second.unit}]; choose by --metric"
    for name, value in first.settings.items():
        if value != second.settings.get(name):
            return f"{name} {value} against {second.settings.get(name)}; evaluate both with the same"
    if not np.array_equal(first.items_N, second.items_N):
        left, right = set(first.items_N.tolist()), set(second.items_N.tolist())
        return (
            f"{len(left - right):,} of {len(left):,} items are missing in the second, {len(right - left):,} of "
            f"{len(right):,} in the first ({_some(left ^ right)}); evaluate both on the same items, with one --limit"
        )
    for name, values in first.hashes.items():
        differ = np.flatnonzero(values != second.hashes[name])
        if len(differ) and not (name == "prompt" and any_prompt):
            cure = {
                "prompt": "evaluate both with one chat template, system instruction and few-shot seed, or add "
                "--any-prompt where the prompt is part of what you compare",
            }.get(name, "evaluate both on one version of the dataset")
            where = f"{len(differ):,} of {len(values):,} items ({_some(first.items_N[differ])})"
            return f"{name} differs in {where}; {cure}"
    if not np.array_equal(first.sizes_N, second.sizes_N):
        return "items differ in their weight, tokens or number of rows; evaluate both with one tokenizer, equally often"
    ours, theirs = (np.array([]) if one.clusters_N is None else one.clusters_N for one in (first, second))
    if not np.array_equal(ours, theirs):
        return "items belong to different clusters; give both the same clusters"
    return ""


def _some(names: object) -> str:
    shown = sorted(map(str, names))  # type: ignore[call-overload]  # any collection
    return ", ".join(shown[:NAMED]) + (" ..." if len(shown) > NAMED else "")


def _split(word: str) -> tuple[str | None, list[Path]]:
    """Return name and paths; a path may hold `=` and `,` where it exists as it is."""
    if Path(word).exists():
        return None, [Path(word)]
    name, has_name, rest = word.partition("=")
    if not has_name:
        return None, [Path(text) for text in word.split(",")]
    return name, [Path(rest)] if Path(rest).exists() else [Path(text) for text in rest.split(",")]


def _names(named: Sequence[tuple[str | None, Sequence[Path]]]) -> list[str]:
    """Return a name for each arm: the given one, the last part of its path, or its whole path where two are equal.

    Of runs, whose folders say what was chosen, it is what they chose differently.
    """
    short = [
        name or paths[0].resolve().stem if paths[0].is_file() else name or paths[0].resolve().name
        for name, paths in named
    ]
    is_runs = all(name is None and (paths[0] / RECORD).is_file() for name, paths in named)
    if is_runs and len(set(short)) == len(short):
        return _differing(short)
    names = [
        name or (last if short.count(last) == 1 else str(paths[0]))
        for last, (name, paths) in zip(short, named, strict=True)
    ]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"two results are called {twice[0]!r}; name them: first={named[0][1][0]}")
    return names


def _differing(names: Sequence[str]) -> list[str]:
    """Return the parts of the names, joined by "-", that are not the same in all, without the hash if that suffices."""
    parts = [name.split("-") for name in names]
    if len({len(one) for one in parts}) > 1:
        return list(names)
    columns = [column for column in zip(*parts, strict=True) if len(set(column)) > 1]
    without_hash = ["-".join(one) for one in zip(*columns[:-1], strict=True)]
    if len(set(without_hash)) == len(names):
        return without_hash
    return ["-".join(one) for one in zip(*columns, strict=True)]


def _reading(path: Path, choice: Choice) -> ReadResults:
    if path.is_file() and path.suffix in SUFFIXES:
        return read_table(path, choice)
    if (path / RECORD).is_file():
        return read_run(path, choice)
    if path.exists() and results_files(path):
        return read_lm_eval(path, choice)
    wrong = "holds no results that can be compared" if path.exists() else "does not exist"
    raise DataError(
        f"{path} {wrong}; give a folder of lm-eval with --log_samples, the folder of a run (outputs/runs/NAME), or a "
        f"table ({', '.join(SUFFIXES)}) with the columns item and value"
    )


def _check_copies(name: str, paths: Sequence[Path]) -> None:
    """Raise DataError where one training run is given twice, which would count as two seeds."""
    known: dict[str, Path] = {}
    for path in paths:
        record = path / RECORD
        files = [record] if record.is_file() else results_files(path) or [path]
        content = digest([file_sha256(file) for file in files])
        if content in known:
            raise DataError(
                f"{name}: {known[content]} and {path} hold the same results, those of one training run and not of two "
                "seeds; give every training run once, and tables of several with a column seed"
            )
        known[content] = path


def _arm(name: str, paths: Sequence[Path], readings: Sequence[ReadResults]) -> Arm:
    """Return one arm of all paths; models without a seed are numbered."""
    by_seed: dict[int, Mapping[str, Answers]] = {}
    places: dict[int, Path] = {}
    for number, (path, reading) in enumerate(zip(paths, readings, strict=True)):
        for seed, answers in reading.by_seed.items():
            key = number if seed is None else seed
            if key in by_seed:
                raise DataError(
                    f"{name} has seed {key} twice, in {places[key]} and in {path}; give every training run of it once"
                )
            by_seed[key], places[key] = answers, path
    arm = Arm(name, dict(sorted(by_seed.items())))
    for seed, answers in arm.by_seed.items():
        if set(answers) != set(arm.tasks):
            raise DataError(
                f"{name}: seeds {arm.seeds[0]} and {seed} do not have the same tasks; evaluate every "
                "seed on the same tasks"
            )
    return arm
