"""Tasks of lm-evaluation-harness on a network in memory: quiet, in one process, without a trace left in it.

Only multiple_choice.py imports this module, after it has made sure that the harness is installed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

import datasets
import lm_eval
import torch
from lm_eval.api.metrics import mean, mean_stderr, perplexity
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from delt_exp.errors import ConfigError, DependencyError
from delt_exp.eval_dataset.isolation import code_execution, quiet, seeded
from delt_exp.eval_dataset.local_task import Example
from delt_exp.progress import say, track

VERSION = str(lm_eval.__version__)
SEED = 1234  # of few-shot examples and of shuffled choices; the harness's own default
Tasks = dict[str, Any]  # what TaskManager.load returns


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
    with quiet(), seeded(SEED):
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
    with quiet(), seeded(SEED), code_execution(allow_code_execution):
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
    tasks: Tasks, network: Any, tokenizer: Any, *, name: str, context_tokens: int, batch_size: int,
    limit: int | None, allow_code_execution: bool,
) -> list[Score]:  # fmt: skip
    """Return every metric of every task; a context that does not fit loses its beginning, which is counted."""
    with quiet(), seeded(SEED), code_execution(allow_code_execution):
        for task in tasks["tasks"].values():
            task.set_fewshot_seed(SEED)
        model = _Model(network, tokenizer, name, context_tokens, batch_size)
        # The harness's own standard errors bootstrap in a pool of processes; `_stderr` needs none.
        results = evaluate(model, tasks, limit, bootstrap_iters=0, confirm_run_unsafe_code=allow_code_execution)
    return [score for key, task in tasks["tasks"].items() for score in _scores(key, task, results, model)]


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


class _Model(HFLM):  # type: ignore[misc]
    """The harness's view of the network; counts what does not fit the context, and shows progress."""

    def __init__(self, network: Any, tokenizer: Any, name: str, context_tokens: int, batch_size: int) -> None:
        super().__init__(network, tokenizer=tokenizer, batch_size=batch_size, max_length=context_tokens)
        self.name = name
        self.truncated: set[tuple[str, int]] = set()  # (task, example)
        self._asked: Sequence[Any] = ()

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> Any:
        self._asked = requests
        with track(f"evaluating {self.name}", len(requests), "requests") as self._progress:
            return super().loglikelihood(requests, disable_tqdm=True)

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> Any:
        self._asked = ()
        with track(f"evaluating {self.name}", None, "windows") as self._progress:
            return super().loglikelihood_rolling(requests, disable_tqdm=True)

    def _loglikelihood_tokens(self, requests: Any, disable_tqdm: bool = False, override_bs: int | None = None) -> Any:
        """Score answers longer than the context in consecutive windows; the harness alone refuses them."""
        size, pieces, owners = self.max_length, [], []
        for row, (text, context, answer) in enumerate(requests):
            for start in range(0, max(len(answer), 1), size):
                pieces.append((text, context + answer[:start], answer[start : start + size]))
                owners.append(row)
        for asked, (_, context, answer) in zip(self._asked, requests, strict=False):
            if len(context) + len(answer) > size + 1:
                self.truncated.add((asked.task_name, asked.doc_id))
        results = [(0.0, True)] * len(requests)
        found = super()._loglikelihood_tokens(pieces, disable_tqdm=True, override_bs=override_bs)
        for row, (log_p, greedy) in zip(owners, found, strict=True):
            results[row] = (results[row][0] + log_p, results[row][1] and greedy)
        return results

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> Any:
        for asked in requests:
            context, settings = asked.args
            wanted = settings.get("max_gen_toks", self.max_gen_toks)
            settings["max_gen_toks"] = min(wanted, self.max_length // 2)
            if len(self.tok_encode(context)) > self.max_length - settings["max_gen_toks"]:
                self.truncated.add((asked.task_name, asked.doc_id))
        say(f"{self.name}: answers end after half the context ({self.max_length // 2} tokens), or where the task says")
        with track(f"evaluating {self.name}", len(requests), "answers") as self._progress:
            return super().generate_until(requests, disable_tqdm=True)

    def _model_call(self, inps: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        self._progress.advance(len(inps))
        return super()._model_call(inps, *args, **kwargs)

    def _model_generate(self, context: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        self._progress.advance(len(context))
        return super()._model_generate(context, *args, **kwargs)
