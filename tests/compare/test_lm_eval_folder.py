"""Folders of lm-evaluation-harness: its means and errors are found again, and what does not fit is refused."""

import json
import math
import random

import pytest

from delt_exp.compare.answers import Choice
from delt_exp.compare.arms import read_arms
from delt_exp.compare.lm_eval_folder import read_lm_eval
from delt_exp.compare.verdicts import verdicts
from delt_exp.errors import DataError
from delt_exp.files import read_json
from tests.compare.folders import accuracies, sample, write_folder


def read(folder, **choice):
    """The answers of the one model in a folder, by task."""
    return read_lm_eval(folder, Choice(**choice)).by_seed[None]


def test_an_accuracy_is_the_mean_of_its_rows(tmp_path):
    answers = read(write_folder(tmp_path, {"quiz": accuracies([1, 0, 1, 1])}))["quiz"]
    assert (answers.mean, answers.metric, answers.unit, answers.better) == (0.75, "acc", "accuracy", "higher")
    assert answers.items_N.tolist() == ["0", "1", "2", "3"]


def test_log_likelihoods_are_compared_before_lm_eval_exponentiates(tmp_path):
    rows = [sample(item, {"word_perplexity": [-9.0 - item, 3 + item]}) for item in range(4)]
    told = {"text": {"word_perplexity,none": math.exp((9 + 10 + 11 + 12) / (3 + 4 + 5 + 6))}}
    answers = read(write_folder(tmp_path, {"text": rows}, values=told))["text"]
    assert (answers.unit, answers.better) == ("nats/word", "lower")
    assert answers.mean == pytest.approx(42 / 18)


def test_bits_are_bits(tmp_path):
    rows = [sample(item, {"bits_per_byte": [-8 * math.log(2), 4]}) for item in range(3)]
    answers = read(write_folder(tmp_path, {"text": rows}, values={"text": {"bits_per_byte,none": 2.0}}))["text"]
    assert (answers.unit, answers.mean) == ("bits/byte", pytest.approx(2.0))


def test_the_usual_metric_is_chosen_and_the_others_are_named(tmp_path):
    rows = [sample(item, {"acc": 0, "acc_norm": 1}) for item in range(3)]
    folder = write_folder(tmp_path, {"quiz": rows})
    assert read(folder)["quiz"].metric == "acc_norm"
    assert read_lm_eval(folder, Choice()).notes == [
        "quiz: acc_norm,none is compared, not acc,none (--metric, --filter)."
    ]
    assert read(folder, metrics=["acc"])["quiz"].mean == 0


def test_each_filter_is_another_reading_of_the_same_answers(tmp_path):
    strict, flexible = [
        accuracies(v, "exact_match", filter_name=n) for v, n in (([0, 0, 1], "strict"), ([1, 0, 1], "flex"))
    ]
    folder = write_folder(tmp_path, {"gen": strict + flexible})
    assert read(folder)["gen"].mean == pytest.approx(1 / 3)
    assert read(folder, filter="flex")["gen"].mean == pytest.approx(2 / 3)
    with pytest.raises(DataError, match="no filter 'loose'; it has 'strict', 'flex'"):
        read(folder, filter="loose")


def test_a_metric_of_all_rows_together_is_left_out_and_said(tmp_path):
    rows = [sample(item, {"mcc": [1, 0]}) for item in range(3)]
    folder = write_folder(tmp_path, {"quiz": accuracies([1, 0]), "other": rows}, values={"other": {"mcc,none": 0.2}})
    reading = read_lm_eval(folder, Choice())
    assert list(reading.by_seed[None]) == ["quiz"]
    assert reading.notes == ["other is left out: mcc is not a mean over documents, so items cannot be paired."]
    with pytest.raises(DataError, match="other has no mcc that is a mean over documents; it has none"):
        read(folder, metrics=["mcc"], tasks=["other"])


def test_a_metric_of_a_task_of_its_own_is_compared_where_it_is_a_mean(tmp_path):
    rows = [sample(item, {"recall": value}) for item, value in enumerate([0.5, 1.0])]
    assert read(write_folder(tmp_path, {"own": rows}))["own"].unit == "recall"
    other = write_folder(tmp_path / "other", {"own": rows}, values={"own": {"recall,none": 0.9}})
    with pytest.raises(DataError, match=r"the task aggregates in its own way.* leave it out by --tasks"):
        read(other)
    with pytest.raises(DataError, match="choose another --metric, or leave the task out"):
        read(write_folder(tmp_path / "third", {"own": [sample(0, {"x": {"a": 1}})]}, values={"own": {"x,none": 0.9}}))


def test_a_task_that_was_evaluated_again_counts_with_its_newest_rows(tmp_path):
    write_folder(tmp_path, {"quiz": accuracies([0, 0])})
    write_folder(tmp_path, {"quiz": accuracies([1, 1])}, date="2026-02-02T03-04-05.000001")
    reading = read_lm_eval(tmp_path, Choice())
    assert reading.by_seed[None]["quiz"].mean == 1
    assert "quiz was evaluated again; the newest counts, 2026-02-02T03-04-05.000001" in reading.notes[0]


def test_answers_of_one_document_that_was_asked_twice_are_one_item(tmp_path):
    answers = read(write_folder(tmp_path, {"quiz": accuracies([1, 0]) + accuracies([0, 0])}))["quiz"]
    assert answers.sizes_N.tolist() == [2, 2]
    assert answers.mean == 0.25


def test_questions_about_one_passage_can_be_joined(tmp_path):
    rows = [*accuracies([1, 1], passage="one"), sample(2, {"acc": 0}, passage="two")]
    assert read(write_folder(tmp_path, {"quiz": rows}), cluster="passage")["quiz"].clusters_N.tolist() == [
        "one",
        "one",
        "two",
    ]
    with pytest.raises(DataError, match="--cluster chapter is no field of a document; it has passage: name one of"):
        read(tmp_path, cluster="chapter")


def test_a_filter_that_is_not_there_is_told_with_those_that_are(tmp_path):
    with pytest.raises(DataError, match="quiz: acc has no filter 'strict'; it has 'none'"):
        read(write_folder(tmp_path, {"quiz": accuracies([1, 0])}), filter="strict")


def test_a_direction_that_the_files_know_better_is_said(tmp_path):
    (note,) = read_lm_eval(write_folder(tmp_path, {"quiz": accuracies([1, 0])}), Choice(better="lower")).notes
    assert note == "quiz: higher acc is better, as lm-eval says; --lower-is-better is not for it."


def damage(folder, how):
    samples = next(folder.rglob("samples_*"))
    if how == "missing":
        samples.unlink()
    if how == "cut":
        samples.write_text(samples.read_text()[:-20])
    if how == "results":
        results = next(folder.rglob("results_*"))
        results.write_text(results.read_text()[:-20])
    if how == "fewer":
        samples.write_text("".join(samples.read_text().splitlines(keepends=True)[1:]))
    if how == "other":
        rows = [json.loads(line) for line in samples.read_text().splitlines()]
        samples.write_text("".join(json.dumps(row | {"acc": 1}) + "\n" for row in rows))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", r"samples_quiz_.*jsonl is missing.*--log_samples"),
        ("cut", r"line 3 is not valid JSON"),
        ("results", r"results_.*json is not a results file of lm-eval, or is damaged"),
        ("fewer", r"has 2 documents of 3: it is incomplete"),
        ("other", r"its rows give acc,none = 1, the results file says 0.666667"),
    ],
)
def test_samples_that_are_not_those_of_the_results_are_refused(tmp_path, how, message):
    damage(write_folder(tmp_path, {"quiz": accuracies([1, 0, 1])}), how)
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_results_of_two_models_are_not_one(tmp_path):
    write_folder(tmp_path / "a", {"quiz": accuracies([1, 0])})
    write_folder(tmp_path / "b", {"quiz": accuracies([1, 0])})
    with pytest.raises(DataError, match="holds results of 2 models"):
        read(tmp_path)


def test_a_task_of_a_name_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    folder = write_folder(tmp_path, {"a": accuracies([1, 0]), "b": accuracies([1, 0])}, groups={"both": ["a", "b"]})
    assert list(read(folder, tasks=["both"])) == ["a", "b"]
    with pytest.raises(DataError, match="no task 'c'; it has a, b, both"):
        read(folder, tasks=["c"])


@pytest.mark.slow
def test_means_and_errors_of_the_program_itself_are_reproduced(tmp_path, monkeypatch):
    pytest.importorskip("lm_eval", reason="the extra eval is not installed")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    # It asks pip and the compilers for their versions, which takes seconds.
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)
    for seed in (1, 2):
        evaluate(tmp_path, seed)
    read_both = read_arms([str(tmp_path / "1"), str(tmp_path / "2")], Choice())
    (reported,) = [read_json(file) for file in (tmp_path / "1").rglob("results_*.json")]
    found = {one.place: one for one in verdicts(read_both, 0.05) if one.level == "task"}
    for task, metric in (("quiz", "acc"), ("gen", "exact_match")):
        name = "strict" if task == "gen" else "none"
        assert found[task].values[1] == pytest.approx(reported["results"][task][f"{metric},{name}"])
        assert found[task].errors[1] == pytest.approx(reported["results"][task][f"{metric}_stderr,{name}"])
    assert math.exp(found["ppl"].values[1]) == pytest.approx(reported["results"]["ppl"]["word_perplexity,none"])
    assert {one.place for one in verdicts(read_both, 0.05)} == {"overall", "both", "quiz", "gen", "ppl"}


def evaluate(folder, seed):
    """Evaluate a model that guesses, on three tasks of one small dataset, and save as its command line does."""
    import lm_eval
    from lm_eval.api.model import LM
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    guess = random.Random(seed)

    class Guesser(LM):
        def loglikelihood(self, requests):
            return [(-9 * guess.random(), False) for _ in requests]

        def loglikelihood_rolling(self, requests):
            return [-5 - 20 * guess.random() for _ in requests]

        def generate_until(self, requests):
            return [guess.choice("abx") for _ in requests]

    write_tasks(folder)
    tracker = EvaluationTracker(output_path=str(folder / str(seed)))
    manager = TaskManager(include_path=str(folder / "tasks"), include_defaults=False)
    results = lm_eval.simple_evaluate(
        Guesser(), tasks=["both", "ppl"], task_manager=manager, log_samples=True, bootstrap_iters=10
    )
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for task, rows in samples.items():
        tracker.save_results_samples(task_name=task, samples=rows)


def write_tasks(folder):
    (folder / "tasks").mkdir(exist_ok=True)
    lines = [{"q": f"question {n} {'w ' * (n % 7)}", "choices": list("abc"), "answer": n % 3} for n in range(40)]
    (folder / "quiz.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    common = {
        "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(folder / "quiz.jsonl")}},
        "test_split": "test", "metadata": {"version": 2.0},
    }  # fmt: skip
    exact = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
    first = {"function": "take_first"}
    tasks = {
        "quiz": {"output_type": "multiple_choice", "doc_to_text": "{{q}}", "doc_to_choice": "{{choices}}",
                 "doc_to_target": "{{answer}}", "metric_list": [{"metric": "acc"}]},
        "gen": {"output_type": "generate_until", "doc_to_text": "{{q}}", "doc_to_target": "a", "metric_list": [exact],
                "generation_kwargs": {"until": ["\n"]}, "filter_list": [
                    {"name": "strict", "filter": [{"function": "regex", "regex_pattern": "(a)"}, first]},
                    {"name": "flex", "filter": [{"function": "regex", "regex_pattern": "([ax])"}, first]}]},
        "ppl": {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{q}}",
                "metric_list": [{"metric": "word_perplexity"}]},
    }  # fmt: skip
    for name, task in tasks.items():
        (folder / "tasks" / f"{name}.yaml").write_text(json.dumps({"task": name, **common, **task}))
    (folder / "tasks" / "both.yaml").write_text(json.dumps({"group": "both", "task": ["quiz", "gen"]}))
