"""Tasks of lm-evaluation-harness: quiet, without a trace left in the process; the model may be elsewhere.

Only multiple_choice.py imports this module, after it has made sure that the harness is installed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

import datasets
import lm_eval
from lm_eval.api.metrics import mean, mean_stderr, perplexity
from lm_eval.api.model import LM
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager
from numpy.typing import NDArray

from delt_exp.errors import ConfigError, DependencyError
from delt_exp.eval_dataset.isolation import SEED, code_execution, seeded, silenced
from delt_exp.eval_dataset.local_task import Example
from delt_exp.progress import say

VERSION = str(lm_eval.__version__)
MOST_WRITTEN = 256  # tokens of an answer where the task does not say; the harness's own default
Tasks = dict[str, Any]  # what TaskManager.load returns
Ask = Callable[[str, Sequence[Any]], NDArray[Any]]
"""From a kind of requests and the harness's instances of it to the answers, one row for each, as in requests.py."""


@dataclass(frozen=True)
class Score:
    """One metric of one task: its value, standard error and direction, and the value of each example (or None)."""

    task: str
    metric: str
    value: float
    stderr: float | None
    better: str
    unit: str
    count: int
    truncated: int
    examples: Sequence[float] | None


def local_tasks(definitions: dict[str, dict[str, Any]], examples: dict[str, list[Example]]) -> Tasks:
    """Return tasks over examples in memory: no dataset cache, no network."""
    manager = TaskManager(include_defaults=False)
    with silenced(), seeded(SEED):
        tasks: Tasks = manager.load([_spec(name, definitions[name], examples[name]) for name in definitions])
    return tasks


def _spec(name: str, definition: dict[str, Any], examples: list[Example]) -> dict[str, Any]:
    def dataset(**_: Any) -> dict[str, Any]:
        return {"test": datasets.Dataset.from_list(examples)}

    return {"task": name, "custom_dataset": dataset, "test_split": "test", "num_fewshot": 0, **definition}


def hub_tasks(names: Sequence[str], allow_code_execution: bool) -> Tasks:
    """Download the tasks' data and return them.

    Raises ConfigError for an unknown name and for a task that runs generated code without permission, DependencyError
    where the data cannot be had.
    """
    manager = _index()
    for name in names:
        if name not in manager.task_index:
            near = ", ".join(get_close_matches(name, manager.all_tasks, 3)) or "none is near"
            raise ConfigError(
                f"tasks: {name!r} is not a task of lm-evaluation-harness {VERSION}; did you mean: {near}?"
            )
        _check_code(name, (manager.task_index[name].cfg or {}).get("unsafe_code", False), allow_code_execution)
    with silenced(), seeded(SEED), code_execution(allow_code_execution):
        try:
            tasks: Tasks = manager.load(list(names))
        except Exception as error:  # the Hub is asked by several HTTP libraries, each with errors of its own
            raise DependencyError(
                f"the tasks {', '.join(names)} cannot be loaded: {type(error).__name__}: {error} Check the network "
                "(unset HF_HUB_OFFLINE; log in for gated ones such as gpqa), point HF_HOME at a folder with a copy, or "
                "use eval_dataset=local_bench, which needs none."
            ) from error
    for name, task in tasks["tasks"].items():
        _check_code(name, getattr(task, "UNSAFE_CODE", False), allow_code_execution)
    return tasks


def _check_code(name: str, runs_code: bool, allowed: bool) -> None:
    if runs_code and not allowed:
        raise ConfigError(
            f"the task {name} runs Python code that the model writes, outside any sandbox. If that is acceptable on "
            "this machine, set allow_code_execution: true beside its name (eval_dataset.code.allow_code_execution)."
        )


@cache
def _index() -> TaskManager:
    say("reading the task index of lm-evaluation-harness (about 20 s)")
    return TaskManager()


def run_tasks(
    tasks: Tasks, ask: Ask, *, name: str, context_tokens: int, limit: int | None, allow_code_execution: bool
) -> list[Score]:
    """Return every metric of every task; a context that does not fit loses its beginning, which is counted."""
    with silenced(), seeded(SEED), code_execution(allow_code_execution):
        for task in tasks["tasks"].values():
            task.set_fewshot_seed(SEED)
        model = _Model(ask, name, context_tokens)
        # The harness's own standard errors bootstrap in a pool of processes; `_stderr` needs none.
        results = evaluate(model, tasks, limit, bootstrap_iters=0, confirm_run_unsafe_code=allow_code_execution)
    return [score for key, task in tasks["tasks"].items() for score in _scores(key, task, results, model)]


class _Model(LM):  # type: ignore[misc]
    """The model for the harness: asks whoever has it. truncated: task and example of contexts that were cut."""

    def __init__(self, ask: Ask, name: str, context_tokens: int) -> None:
        super().__init__()
        self._ask, self.name, self.max_length = ask, name, context_tokens
        self.truncated: set[tuple[str, int]] = set()

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        rows = self._ask("loglikelihood", requests)
        self._note(requests, rows[:, 2])
        return [(float(log_p), bool(is_greedy)) for log_p, is_greedy, _ in rows]

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        return [float(log_p) for (log_p,) in self._ask("loglikelihood_rolling", requests)]

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        half = self.max_length // 2
        say(f"{self.name}: answers end after half the context ({half} tokens), or where the task says")
        for request in requests:
            context, settings = request.args
            wanted = settings.get("max_gen_toks", MOST_WRITTEN)
            request.arguments = context, {**settings, "max_gen_toks": min(wanted, half)}
        rows = self._ask("generate_until", requests)
        self._note(requests, rows[:, 1])
        return [str(text) for text in rows[:, 0]]

    def _note(self, requests: Sequence[Any], cut: Iterable[Any]) -> None:
        self.truncated |= {(r.task_name, r.doc_id) for r, is_cut in zip(requests, cut, strict=True) if is_cut}


def _scores(key: str, task: Any, results: Any, model: "_Model") -> Iterator[Score]:
    samples = results["samples"][key]
    filters = {sample["filter"] for sample in samples}
    count, truncated = results["n-samples"][key]["effective"], len({doc for t, doc in model.truncated if t == key})
    if truncated:
        say(f"{key}: {truncated} of {count} examples lose their beginning, to fit {model.max_length} tokens of context")
    for label, value in results["results"][key].items():
        metric, _, chosen = label.partition(",")
        if not chosen or metric.endswith("_stderr"):
            continue
        aggregate = task.aggregation().get(metric, mean)
        values = [sample[metric] for sample in samples if sample["filter"] == chosen and metric in sample]
        examples = [float(value) for value in values] if aggregate in (mean, perplexity) else None
        better = "higher" if task.higher_is_better().get(metric, True) else "lower"
        unit = {mean: "fraction", perplexity: "per continuation"}.get(aggregate, "")
        name = metric if len(filters) == 1 else label
        yield Score(key, name, float(value), _stderr(aggregate, examples), better, unit, count, truncated, examples)


def _stderr(aggregate: Any, examples: list[float] | None) -> float | None:
    """Standard error over examples: s / sqrt(n) for a mean, and by the delta method for exp(-mean)."""
    if examples is None or len(examples) < 2:
        return None
    error = float(mean_stderr(examples))
    return error * float(perplexity(examples)) if aggregate is perplexity else error
