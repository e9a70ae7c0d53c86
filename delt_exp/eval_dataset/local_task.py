"""Benchmark tasks in JSON Lines files of one's own, in the three forms a causal LM is usually asked.

The harness is given finished texts under the names in HARNESS. Its own Jinja templates would save the classes below,
but what goes wrong in them names no file and line, and they turn an answer that looks like a number or a list into one.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from delt_exp.config.fields import settings
from delt_exp.dataset.files import reading
from delt_exp.dataset.json_records import json_records
from delt_exp.dataset.template import Template, Values
from delt_exp.errors import ConfigError, DataError

Example = dict[str, Any]
VALUES = Values(null_as_empty=False, numbers_as_text=True)  # an answer of 4 is a text to be predicted


@settings
class LocalTask(ABC):
    """One example per JSON object of `path`, read as `jsonl` does; HARNESS says what the harness does with it.

    Templates such as "Question: {question}" read the fields of an object; numbers are read as text.
    """

    HARNESS: ClassVar[Mapping[str, Any]]

    path: str

    @abstractmethod
    def example(self, record: Mapping[str, Any], place: str) -> Example:
        """Return the fields that HARNESS names; raises DataError at `place` where the record lacks something."""

    @abstractmethod
    def answer(self, example: Example) -> tuple[str, str]:
        """Return what is asked and the right way to go on."""

    def examples(self, limit: int | None) -> list[Example]:
        """Return the first `limit` examples (None: all); raises DataError (file, line, field) for bad input."""
        found = [self.example(record, place) for record, place in islice(_records(Path(self.path)), limit)]
        if not found:
            raise DataError(f"{self.path} holds no example. Remove the task, or write the file again.")
        return found


@settings
class ChoiceTask(LocalTask):
    """Which of `choices` goes on best after `context` and a space.

    `choices` names a field with a list of texts, or is a list of templates; `gold` names the field with the index of
    the right one, from 0. `acc` compares log-likelihoods, `acc_norm` divides them by the number of characters.
    """

    HARNESS: ClassVar[Mapping[str, Any]] = {
        "output_type": "multiple_choice",
        "doc_to_text": "context",
        "doc_to_choice": "choices",
        "doc_to_target": "gold",
        "metric_list": [{"metric": m, "aggregation": "mean", "higher_is_better": True} for m in ("acc", "acc_norm")],
    }

    context: str
    choices: str | Sequence[str]
    gold: str

    def __post_init__(self) -> None:
        if not isinstance(self.choices, str) and len(self.choices) < 2:
            raise ConfigError(
                f"choices={list(self.choices)} leaves nothing to choose from; give at least two templates, or the name "
                "of a field with a list of texts"
            )

    def example(self, record: Mapping[str, Any], place: str) -> Example:
        """Return context, choices and gold."""
        context = Template("context", self.context, VALUES).render(record, place)
        if isinstance(self.choices, str):
            choices = _texts(record, self.choices, place)
        else:
            choices = [Template("choices", choice, VALUES).render(record, place) for choice in self.choices]
        return {"context": context, "choices": choices, "gold": _index(record, self.gold, len(choices), place)}

    def answer(self, example: Example) -> tuple[str, str]:
        """Return the context, and the right choice after a space."""
        return example["context"], " " + example["choices"][example["gold"]]


@settings
class ContextTask(LocalTask):
    """After which of `contexts` does `continuation` (and the space before it) fit best: partial scoring.

    Trinh and Le 2018, A simple method for commonsense reasoning. `contexts` names a field with a list of texts.
    """

    HARNESS: ClassVar[Mapping[str, Any]] = {
        "output_type": "multiple_choice",
        "doc_to_text": "gold",
        "doc_to_choice": "contexts",
        "doc_to_target": "continuation",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }

    contexts: str
    continuation: str
    gold: str

    def example(self, record: Mapping[str, Any], place: str) -> Example:
        """Return contexts, continuation and gold."""
        contexts = _texts(record, self.contexts, place)
        continuation = Template("continuation", self.continuation, VALUES).render(record, place)
        gold = _index(record, self.gold, len(contexts), place)
        return {"contexts": contexts, "continuation": continuation, "gold": gold}

    def answer(self, example: Example) -> tuple[str, str]:
        """Return the right context, and the continuation after a space."""
        return example["contexts"][example["gold"]], " " + example["continuation"]


@settings
class CompletionTask(LocalTask):
    """How likely is `continuation` (write its leading space) after `context`, and is each token the most likely one?

    `acc` is the share of continuations that greedy decoding finds; `perplexity` counts a continuation as one event.
    """

    HARNESS: ClassVar[Mapping[str, Any]] = {
        "output_type": "loglikelihood",
        "doc_to_text": "context",
        "doc_to_target": "continuation",
        "metric_list": [
            {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
            {"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False},
        ],
    }

    context: str
    continuation: str

    def example(self, record: Mapping[str, Any], place: str) -> Example:
        """Return context and continuation."""
        context = Template("context", self.context, VALUES).render(record, place)
        return {
            "context": context,
            "continuation": Template("continuation", self.continuation, VALUES).render(record, place),
        }

    def answer(self, example: Example) -> tuple[str, str]:
        """Return context and continuation as they are."""
        return example["context"], example["continuation"]


def _records(file: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    if not file.is_file():
        raise DataError(
            f"no such file: {file} (working folder: {Path.cwd()}). Correct the path; the tasks of the local data "
            "folder need data_dir=FOLDER or the environment variable DELT_DATA_DIR."
        )
    with reading(file):
        yield from json_records(file)


def _texts(record: Mapping[str, Any], field: str, place: str) -> list[str]:
    values = record.get(field)
    texts = [VALUES.text(value) for value in values] if isinstance(values, list) else []
    if len(texts) < 2 or not all(texts):
        raise DataError(f"{place}: the field {field!r} must be a list of at least two texts, got {values!r}.")
    return [text for text in texts if text]


def _index(record: Mapping[str, Any], field: str, count: int, place: str) -> int:
    index = record.get(field)
    if isinstance(index, str) and index.isascii() and index.isdigit():  # as HellaSwag has it
        index = int(index)
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < count:
        raise DataError(f"{place}: the field {field!r} must be a whole number from 0 to {count - 1}, got {index!r}.")
    return index
