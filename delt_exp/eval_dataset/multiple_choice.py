"""Benchmarks through lm-evaluation-harness: tasks of the Hub, or of local files."""

import math
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, settings
from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.stages import corpus_stage
from delt_exp.corpus.writing import WHOLE
from delt_exp.dataset.base import Document
from delt_exp.errors import ConfigError, DependencyError
from delt_exp.eval_dataset.base import Evaluation, Measure
from delt_exp.eval_dataset.evaluation import evaluation_stage, read_measures, write_columns, write_measures
from delt_exp.eval_dataset.local_task import Example, LocalTask
from delt_exp.eval_dataset.requests import RequestItems, RequestJudge
from delt_exp.files import digest
from delt_exp.mapping.map_documents import map_items
from delt_exp.resources import Resources
from delt_exp.store.store import Store
from delt_exp.trainer.job import TrainedModel

if TYPE_CHECKING:
    from delt_exp.eval_dataset.harness import Score

AVERAGE = "average"


@dataclass(frozen=True)
class TaskMeasure(Measure):
    """A measure over examples; `truncated` of them lost their beginning because they are longer than the context."""

    truncated: int


@settings
class Benchmark(ABC):
    """Measures every task, and the average over the tasks of the first metric of each that is better when higher.

    Of `acc` and `acc_norm`, the latter is reported. Standard errors are over examples; the average's takes the tasks as
    independent. The store keeps the value of each example (`examples.parquet`: task, metric, example, value).
    limit: only the first examples of each task (null: all).
    """

    VERSION: ClassVar[int] = 1
    limit: Count | None

    @abstractmethod
    def load(self, harness: ModuleType) -> Any:
        """Return the harness's tasks; raises DeltError where data is missing or wrong."""

    @abstractmethod
    def content(self) -> Any:
        """Return what decides the tasks, as JSON-like values."""

    def prepare(self, resources: Resources) -> NDArray[np.uint64]:
        """Read all data; returns no ids, because examples are not documents."""
        self.load(load_harness())
        return np.empty(0, np.uint64)

    def text(self, store: Store) -> Corpus | None:
        """Return None: the texts of these tasks are not at hand."""
        return None

    def evaluate(self, name: str, model: TrainedModel, resources: Resources) -> Evaluation:
        """Return one measure per task and metric, labelled `name/task`, and the average, labelled `name`."""
        harness = load_harness()
        inputs = {
            "evaluation": f"multiple_choice {self.VERSION}",
            "model": model.key,
            "tokenizer": model.tokenizer.digest,
            "context_tokens": model.context_tokens,
            "lm_eval": harness.VERSION,
            "tasks": self.content(),
        }

        def build(folder: Path) -> None:
            _write(folder, name, self._run(harness, name, model, resources, folder / "shards"))
            shutil.rmtree(folder / "shards", ignore_errors=True)

        folder = evaluation_stage(resources.store, inputs, build)
        return Evaluation([*read_measures(folder, name, TaskMeasure)], folder, documents=None)

    def _run(
        self, harness: ModuleType, name: str, model: TrainedModel, resources: Resources, shards: Path
    ) -> list["Score"]:
        def ask(kind: str, asked: Sequence[Any]) -> NDArray[Any]:
            judge = RequestJudge(kind, model.pretrained, model.tokenizer.folder, model.context_tokens)
            names = [f"{request.task_name}, example {request.doc_id}" for request in asked]
            items = RequestItems([request.args for request in asked], names, judge)
            return map_items(resources, items, shards / kind, f"evaluating {name}", None)

        scores: list[Score] = harness.run_tasks(
            self.load(harness),
            ask,
            name=name,
            context_tokens=model.context_tokens,
            limit=self.limit,
            allow_code_execution=self.runs_code,
        )
        return scores

    @property
    def runs_code(self) -> bool:
        """Whether code that the model wrote may run on this machine."""
        return False


@settings
class HubTasks(Benchmark):
    """`tasks`: names that lm-evaluation-harness knows; their data come from the Hugging Face Hub.

    allow_code_execution: tasks such as humaneval run code that the model wrote on this machine, without a sandbox.
    """

    tasks: Sequence[str]
    allow_code_execution: bool

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ConfigError("tasks is empty; name at least one task, or leave the suite out")

    @property
    def runs_code(self) -> bool:
        return self.allow_code_execution

    def load(self, harness: ModuleType) -> Any:
        """Download the tasks; raises ConfigError for an unknown one, DependencyError without network and copy."""
        return harness.hub_tasks(self.tasks, self.allow_code_execution)

    def content(self) -> Any:
        """Return names and limit; the version of the harness stands for the definitions."""
        return {"names": list(self.tasks), "limit": self.limit}


@settings
class LocalTasks(Benchmark):
    """`tasks`: label -> task over a file; nothing is downloaded."""

    tasks: Mapping[str, LocalTask]

    def load(self, harness: ModuleType) -> Any:
        """Read the files; raises DataError with file, line and field."""
        return harness.local_tasks({name: task.HARNESS for name, task in self.tasks.items()}, self._examples())

    def content(self) -> Any:
        """Return definitions and the hash of the examples of every task."""
        examples = self._examples()
        return {name: [dict(task.HARNESS), digest(examples[name])] for name, task in self.tasks.items()}

    def text(self, store: Store) -> Corpus:
        """Return the right answers of all tasks, each with its question as prompt."""
        return corpus_stage(store, _Answers(self.tasks, self.limit), WHOLE)

    def _examples(self) -> dict[str, list[Example]]:
        return {name: task.examples(self.limit) for name, task in self.tasks.items()}


@dataclass(frozen=True)
class _Answers:
    """The tasks as a dataset of right answers."""

    VERSION: ClassVar[int] = 1
    tasks: Mapping[str, LocalTask]
    limit: int | None

    def documents(self) -> Iterator[Document]:
        for name, task in self.tasks.items():
            for example in task.examples(self.limit):
                prompt, text = task.answer(example)
                yield Document(text, prompt, name)

    def fingerprint(self) -> str:
        return digest({name: digest(task.examples(self.limit)) for name, task in self.tasks.items()})


def load_harness() -> ModuleType:
    """Return the module that needs lm-evaluation-harness; raises DependencyError where it is not installed."""
    missing = [package for package in ("lm_eval", "accelerate") if find_spec(package) is None]
    if missing:
        raise DependencyError(
            f"benchmarks need {' and '.join(missing)}, which is not installed; install it with "
            'pip install "delt-exp[eval]", or choose an eval_dataset without benchmarks'
        )
    from delt_exp.eval_dataset import harness

    return harness


def reported(scores: Sequence["Score"]) -> list[TaskMeasure]:
    """Return the measures of a suite: each task's metrics (dataset: the task) and their average (dataset: empty)."""
    by_task: dict[str, list[Score]] = {}
    for score in scores:
        by_task.setdefault(score.task, []).append(score)
    shown = {task: _shown(group) for task, group in by_task.items()}
    measures = [
        TaskMeasure(s.task, s.metric, s.value, s.stderr, s.count, s.unit, s.better, s.truncated)  # type: ignore[arg-type]
        for group in shown.values()
        for s in group
    ]
    heads = [head for group in shown.values() if (head := next((s for s in group if s.better == "higher"), None))]
    return [*measures, _average(heads)] if len(heads) > 1 else measures


def _shown(group: list["Score"]) -> list["Score"]:
    """Return the metrics to report, those that are better when higher first."""
    normed = any(score.metric == "acc_norm" for score in group)
    shown = [score for score in group if not (normed and score.metric == "acc")]
    return sorted(shown, key=lambda score: score.better != "higher")


def _average(heads: Sequence["Score"]) -> TaskMeasure:
    errors = [score.stderr for score in heads if score.stderr is not None]
    stderr = math.sqrt(sum(error**2 for error in errors)) / len(heads) if len(errors) == len(heads) else None
    value = sum(score.value for score in heads) / len(heads)
    count, truncated = sum(score.count for score in heads), sum(score.truncated for score in heads)
    return TaskMeasure("", AVERAGE, value, stderr, count, "fraction", "higher", truncated)


def _write(folder: Path, name: str, scores: Sequence["Score"]) -> None:
    rows = [
        (score.task, score.metric, example, value)
        for score in scores
        for example, value in enumerate(score.examples or [])
    ]
    names = ("task", "metric", "example", "value")
    write_columns(folder / "examples.parquet", {name: [row[i] for row in rows] for i, name in enumerate(names)})
    write_measures(folder, name, reported(scores))
