"""Benchmarks against known answers of a uniform model, and against log-likelihoods computed here."""

import json
import logging
import math
import random
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM

from delt_exp.errors import ConfigError, DataError, DependencyError
from delt_exp.eval_dataset.local_task import ChoiceTask, CompletionTask, ContextTask
from delt_exp.eval_dataset.multiple_choice import HubTasks, LocalTasks
from delt_exp.store.store import Store
from tests.eval_dataset.models import VOCAB, make_model
from tests.helpers import make_resources

pytest.importorskip("lm_eval", reason="the extra eval is not installed")

CHOICES = [
    {"question": "Is it?", "options": ["no", "perhaps it is"], "answer": 0},
    {"question": "Was it?", "options": ["it was", "no"], "answer": 1},
    {"question": "Will it?", "options": ["yes", "I do not know"], "answer": 0},
    {"question": "Naïve?", "options": ["it is", "no", "maybe"], "answer": 0},
]
CONTEXTS = [
    {"contexts": ["Ann saw Bob because Ann", "Ann saw Bob because Bob"], "rest": "was tall.", "answer": 0},
    {"contexts": ["The cup or the pot: the cup", "The cup or the pot: the pot"], "rest": "broke.", "answer": 1},
    {"contexts": ["They met her and she", "They met her and they"], "rest": "left.", "answer": 1},
    {"contexts": ["It rained so it", "It rained so the"], "rest": "poured.", "answer": 0},
    {"contexts": ["It rained so it", "It rained so the"], "rest": "poured.", "answer": 1},  # one of the two is right
]
COMPLETIONS = [{"story": "Once upon a", "word": "time"}, {"story": "He ran to the", "word": "door"}]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", verify="hash")


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def choice_task(tmp_path, records=CHOICES, choices="options"):
    path = write(tmp_path / "choices.jsonl", records)
    return ChoiceTask(path, "Question: {question}\nAnswer:", choices, "answer")


def context_task(tmp_path):
    return ContextTask(write(tmp_path / "contexts.jsonl", CONTEXTS), "contexts", "{rest}", "answer")


def completion_task(tmp_path, records=COMPLETIONS):
    return CompletionTask(write(tmp_path / "completions.jsonl", records), "{story}", " {word}")


def evaluate(trained, store, limit=None, **tasks):
    return LocalTasks(limit, tasks).evaluate("bench", trained, make_resources(store, trained.tokenizer)).measures


def examples(store, task, metric):
    rows = pq.read_table(store.uses[-1].path / "examples.parquet").to_pylist()
    return [row["value"] for row in rows if (row["task"], row["metric"]) == (task, metric)]


class LogLikelihood:
    """log p(answer | context) under a trained, one pair at a time; every byte is a token."""

    def __init__(self, trained):
        self.model = AutoModelForCausalLM.from_pretrained(trained.pretrained).eval()
        self.encode = lambda text: trained.tokenizer.encode([text])[0]

    def __call__(self, context, answer):
        tokens, given = self.encode(context + answer), len(self.encode(context))
        with torch.no_grad():
            log_probs = self.model(torch.tensor([tokens])).logits[0].log_softmax(-1)
        return sum(log_probs[t - 1, tokens[t]].item() for t in range(given, len(tokens)))


def test_a_uniform_model_prefers_short_answers_and_long_ones_once_normalised(store, tmp_path):
    # Every byte costs ln V, so `acc` takes the shortest answer: right in 3 of 4 (not in "Naïve?"). Normalised, an
    # answer of n characters costs (n + 1)/n ln V with its space, so the longest wins: "maybe" ties with "it is", which
    # comes first and is right; the other three are wrong.
    trained = make_model(tmp_path, 128, logit_scale=0.0)
    (acc_norm,) = evaluate(trained, store, quiz=choice_task(tmp_path))
    assert (acc_norm.dataset, acc_norm.metric, acc_norm.count) == ("bench/quiz", "acc_norm", 4)
    assert examples(store, "quiz", "acc") == [1, 1, 1, 0]
    assert examples(store, "quiz", "acc_norm") == [0, 0, 0, 1]
    assert acc_norm.value == 0.25
    assert acc_norm.stderr == pytest.approx(math.sqrt((3 * 0.25**2 + 0.75**2) / 3 / 4))  # s / sqrt(n) = 0.25
    assert (acc_norm.unit, acc_norm.better, acc_norm.truncated) == ("fraction", "higher", 0)


def test_accuracies_are_those_of_the_log_likelihoods(store, tmp_path):
    trained = make_model(tmp_path, 128)
    evaluate(trained, store, quiz=choice_task(tmp_path))
    log_p, acc, acc_norm = LogLikelihood(trained), [], []
    for record in CHOICES:
        scores = [log_p(f"Question: {record['question']}\nAnswer:", f" {option}") for option in record["options"]]
        normed = [score / len(option) for score, option in zip(scores, record["options"], strict=True)]
        acc.append(float(np.argmax(scores) == record["answer"]))
        acc_norm.append(float(np.argmax(normed) == record["answer"]))
    assert examples(store, "quiz", "acc") == acc
    assert examples(store, "quiz", "acc_norm") == acc_norm
    assert len({tuple(acc), (0, 0, 0, 0), (1, 1, 1, 1)}) == 3  # the model is neither always right nor always wrong


def written(parts):
    return tuple(part.text for part in parts)


def test_the_text_of_a_suite_is_its_right_answers_after_their_questions(store, tmp_path):
    tasks = {"quiz": choice_task(tmp_path), "who": context_task(tmp_path), "end": completion_task(tmp_path)}
    corpus = LocalTasks(1, tasks).text(store)
    texts = dict(zip(corpus.meta["sources"], map(written, corpus.read()), strict=True))
    assert texts == {
        "quiz": ("Question: Is it?\nAnswer:", " no"),
        "who": ("Ann saw Bob because Ann", " was tall."),
        "end": ("Once upon a", " time"),
    }


def test_partial_scoring_compares_the_continuation_after_each_context(store, tmp_path):
    trained = make_model(tmp_path, 128)
    (acc,) = evaluate(trained, store, pronouns=context_task(tmp_path))
    log_p = LogLikelihood(trained)
    right = [
        float(np.argmax([log_p(context, f" {record['rest']}") for context in record["contexts"]]) == record["answer"])
        for record in CONTEXTS
    ]
    assert acc.metric == "acc"
    assert acc.value == pytest.approx(np.mean(right))
    assert examples(store, "pronouns", "acc") == right
    assert 0 < sum(right) < len(right)  # the model is neither always right nor always wrong


def test_a_completion_is_right_where_greedy_decoding_finds_it(store, tmp_path):
    trained = make_model(tmp_path, 128)
    model = AutoModelForCausalLM.from_pretrained(trained.pretrained).eval()
    story = trained.tokenizer.encode(["Once upon a"])[0]
    greedy = model.generate(torch.tensor([story]), max_new_tokens=1, do_sample=False)[0, len(story) :].tolist()
    next_byte = trained.tokenizer.decode(greedy)
    records = [{"story": "Once upon a", "word": word} for word in ("", "time", "door")]
    path = completion_task(tmp_path, records).path
    found = CompletionTask(path, "{story}", next_byte + "{word}")  # greedy where the word is empty
    acc, perplexity = evaluate(trained, store, words=found)
    assert examples(store, "words", "acc") == [1, 0, 0]
    assert acc.value == pytest.approx(1 / 3)
    log_p = LogLikelihood(trained)
    log_probs = np.array([log_p("Once upon a", next_byte + record["word"]) for record in records])
    assert perplexity.value == pytest.approx(math.exp(-log_probs.mean()), rel=1e-4)
    delta = perplexity.value * log_probs.std(ddof=1) / math.sqrt(3)
    assert perplexity.stderr == pytest.approx(delta, rel=1e-4)
    assert perplexity.better == "lower"


def test_the_perplexity_of_a_uniform_model_is_the_vocabulary_to_the_number_of_bytes(store, tmp_path):
    _, perplexity = evaluate(make_model(tmp_path, 128, 0.0), store, words=completion_task(tmp_path))
    assert perplexity.value == pytest.approx(VOCAB**5)  # " time" and " door"
    assert perplexity.stderr == pytest.approx(0, abs=VOCAB**5 * 1e-5)


def test_the_average_takes_the_first_metric_of_each_task_that_is_better_when_higher(store, tmp_path):
    tasks = {"quiz": choice_task(tmp_path), "pronouns": context_task(tmp_path), "words": completion_task(tmp_path)}
    measures = {(m.dataset, m.metric): m for m in evaluate(make_model(tmp_path, 128), store, **tasks)}
    heads = [measures[f"bench/{name}", metric] for name, metric in zip(tasks, ("acc_norm", "acc", "acc"), strict=True)]
    average = measures["bench", "average"]
    assert set(measures) - {(m.dataset, m.metric) for m in heads} == {
        ("bench", "average"),
        ("bench/words", "perplexity"),
    }
    assert average.value == pytest.approx(np.mean([head.value for head in heads]))
    assert average.stderr == pytest.approx(math.sqrt(sum(head.stderr**2 for head in heads)) / 3)
    assert average.count == 4 + 5 + 2


def test_choices_can_be_templates(tmp_path):
    task = choice_task(tmp_path, [{"question": "q", "a": "A", "b": "B", "answer": 1}], ["{a}", "not {b}"])
    assert task.examples(None) == [{"context": "Question: q\nAnswer:", "choices": ["A", "not B"], "gold": 1}]


def test_the_limit_takes_the_first_examples(store, tmp_path):
    (acc_norm,) = evaluate(make_model(tmp_path, 128, 0.0), store, limit=2, quiz=choice_task(tmp_path))
    assert (acc_norm.count, acc_norm.value) == (2, 0)


def test_a_result_is_cached_under_the_content_of_the_files(store, tmp_path):
    trained, task = make_model(tmp_path, 128), choice_task(tmp_path)
    first = evaluate(trained, store, quiz=task)
    (tmp_path / "moved").mkdir()
    assert evaluate(trained, store, quiz=choice_task(tmp_path / "moved")) == first
    assert store.uses[-1].cached
    flipped = [{**record, "answer": 1 - record["answer"]} for record in CHOICES]
    evaluate(trained, store, quiz=choice_task(tmp_path, flipped))
    assert not store.uses[-1].cached


def test_contexts_that_do_not_fit_are_cut_on_the_left_and_counted(store, tmp_path):
    long = {"question": "x" * 100 + "Is it?", "options": ["no", "yes"], "answer": 0}
    task = choice_task(tmp_path, [*CHOICES, long])
    (acc_norm,) = evaluate(make_model(tmp_path, 64), store, quiz=task)
    assert (acc_norm.truncated, acc_norm.count) == (1, 5)


def test_an_answer_longer_than_the_context_is_read_in_consecutive_windows(store, tmp_path):
    trained = make_model(tmp_path, 8)
    task = completion_task(tmp_path, [{"story": "It was", "word": "a very dark"}])  # 12 bytes with the space
    _, perplexity = evaluate(trained, store, words=task)
    log_p = LogLikelihood(trained)
    expected = log_p("s", " a very ") + log_p("very ", "dark")  # the model reads 8 bytes to predict the ninth
    assert perplexity.value == pytest.approx(math.exp(-expected), rel=1e-4)
    assert (perplexity.truncated, perplexity.stderr) == (1, None)


def test_the_process_is_as_before_and_nothing_is_printed(store, tmp_path, capfd):
    trained = make_model(tmp_path, 128)
    random.seed(5), np.random.seed(5), torch.manual_seed(5)  # noqa: NPY002
    expected = random.random(), np.random.random(), torch.rand(1).item()  # noqa: NPY002
    random.seed(5), np.random.seed(5), torch.manual_seed(5)  # noqa: NPY002
    level = logging.getLogger("lm_eval").level
    capfd.readouterr()
    evaluate(trained, store, quiz=choice_task(tmp_path))
    assert (random.random(), np.random.random(), torch.rand(1).item()) == expected  # noqa: NPY002
    assert logging.getLogger("lm_eval").level == level
    printed = "".join(capfd.readouterr()).splitlines()
    assert [line for line in printed if line and "Loading weights" not in line] == []  # transformers' own bar


BAD = {
    "not json": ("{", r"bad.jsonl:1:2: not JSON"),
    "no object": ("1", r"bad.jsonl:1: the line is a JSON int"),
    "an array of no objects": ("[1]", r"bad.jsonl: element 1: it is a JSON int"),
    "missing field": ('{"options": ["a", "b"], "answer": 0}', r"bad.jsonl:1: .*question"),
    "one choice": ('{"question": "q", "options": ["a"], "answer": 0}', r"bad.jsonl:1: .*'options'.*two texts"),
    "empty choice": ('{"question": "q", "options": ["a", ""], "answer": 0}', r"bad.jsonl:1: .*'options'"),
    "answer too large": ('{"question": "q", "options": ["a", "b"], "answer": 2}', r"'answer'.*from 0 to 1, got 2"),
    "answer is text": ('{"question": "q", "options": ["a", "b"], "answer": "b"}', r"'answer'.*got 'b'"),
    "nothing": ("\n", r"holds no example"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_found_before_training_and_names_file_line_and_field(case, store, tmp_path):
    content, message = BAD[case]
    (tmp_path / "bad.jsonl").write_text(content)
    task = ChoiceTask(str(tmp_path / "bad.jsonl"), "{question}", "options", "answer")
    with pytest.raises(DataError, match=message):
        LocalTasks(None, {"quiz": task}).prepare(make_resources(store, None))


def test_a_missing_file_names_the_cure(store, tmp_path):
    task = ChoiceTask(str(tmp_path / "absent.jsonl"), "{question}", "options", "answer")
    with pytest.raises(DataError, match=r"absent.jsonl.*DELT_DATA_DIR"):
        LocalTasks(None, {"quiz": task}).prepare(make_resources(store, None))


def test_without_the_harness_the_message_names_the_extra(store, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(DependencyError, match=r"lm_eval.*pip install \"delt-exp\[eval\]\""):
        LocalTasks(None, {"quiz": choice_task(tmp_path)}).prepare(make_resources(store, None))


@pytest.fixture
def small_index(monkeypatch):
    """The tasks of three folders instead of 14 000; and no network."""
    import lm_eval.tasks

    from delt_exp.eval_dataset import harness

    folder = Path(lm_eval.tasks.__file__).parent
    manager = lm_eval.tasks.TaskManager(
        include_path=[folder / n for n in ("piqa", "humaneval", "sciq")], include_defaults=False
    )
    monkeypatch.setattr(harness, "_index", lambda: manager)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)


def test_an_unknown_task_names_the_nearest_ones(small_index, store):
    with pytest.raises(ConfigError, match=r"'piqua'.*did you mean: piqa"):
        HubTasks(None, ["sciq", "piqua"], False).prepare(make_resources(store, None))


def test_tasks_that_run_generated_code_need_permission(small_index, store):
    with pytest.raises(ConfigError, match=r"humaneval runs Python code.*allow_code_execution"):
        HubTasks(None, ["humaneval"], False).prepare(make_resources(store, None))


def test_hub_tasks_without_network_name_the_cure(small_index, store, tmp_path, monkeypatch):
    def unreachable(**_):
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr("datasets.load_dataset", unreachable)
    with pytest.raises(DependencyError, match=r"piqa cannot be loaded: ConnectionError.*eval_dataset=local_bench"):
        HubTasks(None, ["piqa"], False).prepare(make_resources(store, None))


def test_hub_tasks_run_on_their_own_definitions(small_index, store, tmp_path, monkeypatch):
    import datasets

    rows = [{"goal": "Open it?", "sol1": "no", "sol2": "turn the key", "label": 0}] * 3
    splits = {"train": datasets.Dataset.from_list(rows), "validation": datasets.Dataset.from_list(rows)}
    monkeypatch.setattr("datasets.load_dataset", lambda **_: splits)
    tasks = HubTasks(2, ["piqa"], False)
    assert tasks.prepare(make_resources(store, None)).shape == (0,)
    (acc_norm,) = tasks.evaluate("general", make_model(tmp_path, 128, 0.0), make_resources(store, None)).measures
    assert (acc_norm.dataset, acc_norm.metric, acc_norm.value, acc_norm.count) == ("general/piqa", "acc_norm", 0, 2)
    assert examples(store, "piqa", "acc") == [1, 1]


def test_generated_answers_end_after_half_the_context_and_the_user_is_told(store, tmp_path, monkeypatch, capfd):
    import datasets
    from lm_eval.tasks import TaskManager

    from delt_exp.eval_dataset import harness

    # A uniform model decodes the first token for ever: "!", the first printable byte.
    rows = [{"question": "Repeat it", "gold": "!" * 16}, {"question": "Repeat " * 5, "gold": "no"}]
    monkeypatch.setattr("datasets.load_dataset", lambda **_: {"test": datasets.Dataset.from_list(rows)})
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "echo.yaml").write_text(
        "task: echo\ndataset_path: any\noutput_type: generate_until\ntest_split: test\n"
        "doc_to_text: question\ndoc_to_target: gold\ngeneration_kwargs: {until: ['?'], max_gen_toks: 1000}\n"
        "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n"
    )
    manager = TaskManager(include_path=tmp_path / "tasks", include_defaults=False)
    monkeypatch.setattr(harness, "_index", lambda: manager)
    trained = make_model(tmp_path, 32, logit_scale=0.0)
    (match,) = (
        HubTasks(None, ["echo"], False).evaluate("suite", trained, make_resources(store, trained.tokenizer)).measures
    )
    assert examples(store, "echo", "exact_match") == [1, 0]
    assert (match.metric, match.value, match.truncated) == ("exact_match", 0.5, 1)  # 35 bytes leave no room for 16
    assert "answers end after half the context (16 tokens)" in capfd.readouterr().err


@pytest.mark.parametrize("limit", [0, -1, 2.5, True])
def test_the_limit_is_a_whole_number_of_at_least_one(limit):
    with pytest.raises(ConfigError, match="limit"):
        LocalTasks(limit, {})


def test_hub_tasks_need_a_name():
    with pytest.raises(ConfigError, match="tasks is empty"):
        HubTasks(None, [], False)
