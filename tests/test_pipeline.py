"""The whole flow through the real command line: what it leaves, what it reuses, what it refuses."""

import html
import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from delt_exp.logger.tensorboard import TensorBoardLogger
from delt_exp.report.cost import selecting_cost
from delt_exp.scorer.table import ScoreTable
from tests.processes import exit_status, start_run
from tests.runs import FAST, arrays, command, records, write_jsonl, write_texts

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One run of the default flow, shared by the tests that only look at what it left."""
    folder = tmp_path_factory.mktemp("finished")
    write_texts(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        command(patch)
        (record,) = records()
    return folder / "outputs" / "runs" / record["name"], record


def test_a_run_leaves_everything_it_promises(finished):
    folder, _ = finished
    names = {path.name for path in folder.iterdir()}
    assert {"record.json", "scores.parquet", "order.parquet", "metrics.csv", "plots", "model", "report.html"} <= names
    assert len(list((folder / "plots").glob("*.png"))) >= 4


def test_the_record_tells_the_whole_story(finished):
    _, record = finished
    assert record["order_verified"] is True
    assert record["choices"]["orderer"] == "folding"
    assert record["config"]["seed"] == 0
    assert {stage["stage"] for stage in record["stages"]} == {
        "corpus", "tokenizer", "tokens", "annotation", "scores", "model", "evaluation", "overlap",
        "references",
    }  # fmt: skip
    assert all(stage["cost"]["peak_bytes"] > 0 for stage in record["stages"])
    assert record["data"]["train"]["counts"]["read"] == 80
    assert record["score"]["better"] == "higher"
    assert {row["metric"] for row in record["results"]} >= {"loss", "perplexity", "bits_per_byte"}
    assert all(row["stderr"] > 0 for row in record["results"])
    assert record["versions"]["torch"]


def test_the_order_is_the_folding_of_the_scores(finished):
    folder, _ = finished
    table, order = ScoreTable.load(folder / "scores.parquet"), arrays(folder)
    worst_first = np.lexsort((table.ids, table.goodness))
    expected = np.concatenate([worst_first[k::3] for k in range(3)])
    np.testing.assert_array_equal(order["row"], expected)
    np.testing.assert_array_equal(order["id"], table.ids[expected])
    assert (np.diff(order["step"]) >= 0).all()
    assert order["step"][0] == 0


def test_the_model_is_usable_by_anyone(finished):
    folder, _ = finished
    network, tokenizer = (kind.from_pretrained(folder / "model") for kind in (AutoModelForCausalLM, AutoTokenizer))
    generated = network.generate(**tokenizer("fold", return_tensors="pt"), max_new_tokens=3, do_sample=False)
    assert generated.shape[1] > 4


def test_evaluation_of_training_text_is_reported_as_overlap(tmp_path, monkeypatch):
    write_texts(tmp_path)
    shutil.copy("train.jsonl", "eval.jsonl")
    command(monkeypatch, "scorer=random")
    (record,) = records()
    assert record["data"]["overlap"]["eval"] == {"documents": 80, "in_train": 80, "near_train": 0}
    assert record["data"]["target_overlap"] is None


def test_what_is_left_out_of_the_files_is_said_once_a_run(tmp_path, monkeypatch, capsys):
    """Before the first phase, while texts are read, and at the second look, the same folder is listed."""
    write_texts(tmp_path)
    (tmp_path / "texts").mkdir()
    (tmp_path / "train.jsonl").rename(tmp_path / "texts/train.jsonl")
    (tmp_path / "texts/notes.md").write_text("about these texts")
    for _ in range(2):
        command(monkeypatch, "train_dataset.path=texts", "scorer=length", "stop_after=scores")
        assert capsys.readouterr().err.count("of 2 files in texts, the 1 with") == 1


@pytest.mark.parametrize("decontaminate", [False, True])
def test_a_target_among_the_candidates_is_said_in_record_page_and_log_or_taken_out(
    tmp_path, monkeypatch, capsys, decontaminate
):
    write_texts(tmp_path)
    train = [f"{i} a sentence of its own with word {i} and number {i * i} in it" for i in range(60)]
    write_jsonl(tmp_path / "train.jsonl", [{"text": text} for text in train])
    target = [*train[:5], *(text.upper() for text in train[5:8]), "something else entirely"]
    write_jsonl(tmp_path / "target.jsonl", [{"text": text} for text in target])
    command(monkeypatch, f"decontaminate={decontaminate}")
    (record,) = records()
    page, log = (Path("outputs/runs") / record["name"] / "report.html").read_text(), capsys.readouterr().err
    sentence = "5 of 9 documents of the target set are also and 3 nearly among the candidates"
    assert (sentence in page, sentence in log) == (not decontaminate, not decontaminate)
    counts = {"in_train": 0, "near_train": 0} if decontaminate else {"in_train": 5, "near_train": 3}
    assert record["data"]["target_overlap"] == {"documents": 9, **counts}
    assert record["data"]["train"]["documents"] == (52 if decontaminate else 60)
    assert ("in or nearly in another set, left out" in page) == decontaminate


def test_decontaminated_candidates_are_the_same_for_a_scorer_that_does_not_read_the_target(tmp_path, monkeypatch):
    """Otherwise a random arm would keep documents near the target, and learn from them with another tokenizer."""
    write_texts(tmp_path)
    train = [f"{i} a sentence of its own with word {i} and number {i * i} in it" for i in range(60)]
    write_jsonl(tmp_path / "train.jsonl", [{"text": text} for text in train])
    write_jsonl(tmp_path / "target.jsonl", [{"text": text} for text in [*train[:5], "something else entirely"]])
    for scorer in ("ngram_match", "random"):
        command(monkeypatch, f"scorer={scorer}", "decontaminate=true")
    with_target, without = (
        record["data"] for record in sorted(records(), key=lambda record: record["data"]["target"] is None)
    )
    assert (with_target["target"]["documents"], without["target"]) == (6, None)
    assert with_target["train"] == without["train"]
    assert without["train"]["documents"] == 55


@pytest.mark.parametrize("drop", [False, True])
def test_near_duplicates_among_the_candidates_are_counted_on_the_page_or_stay(tmp_path, monkeypatch, drop):
    write_texts(tmp_path)
    rng = np.random.default_rng(0)
    train = [" ".join(f"w{number}" for number in rng.integers(10**6, size=100)) for _ in range(30)]
    write_jsonl(tmp_path / "train.jsonl", [{"text": text} for text in [*train, *(f"{text} end" for text in train[:4])]])
    command(monkeypatch, f"drop_near_duplicates={drop}", "scorer=near_duplicates")
    (record,) = records()
    page = (Path("outputs/runs") / record["name"] / "report.html").read_text()
    assert record["data"]["train"]["documents"] == (30 if drop else 34)
    assert record["data"]["train"]["counts"].get("near_duplicates", 0) == (4 if drop else 0)
    assert ("4 candidate documents were near-duplicates" in page or "near-duplicates, dropped" in page) == drop
    assert ("None of 30 documents" if drop else "8 of 34 documents") in page
    assert (selecting_cost(record).seconds > 0) == drop


def test_a_second_run_computes_nothing_and_says_the_same(tmp_path, monkeypatch):
    write_texts(tmp_path)
    command(monkeypatch)
    (first,) = records()
    command(monkeypatch)
    (second,) = records()
    (finding,) = second["reused_by"]
    assert finding["computed"] == []
    assert second["results"] == first["results"]
    assert second["training"] == first["training"]


def test_a_found_run_keeps_who_computed_it_and_notes_who_found_it(tmp_path, monkeypatch):
    write_texts(tmp_path)
    command(monkeypatch, "scorer=length")
    (first,) = records()
    for text in ("corpus", "evaluation"):  # freed, so that finding the run computes these again
        shutil.rmtree(tmp_path / "outputs" / "store" / text)
    command(monkeypatch, "scorer=length", "trainer.checkpoint_steps=7")
    command(monkeypatch, "scorer=length")
    (last,) = records()
    assert first["reused_by"] == []
    assert {key: value for key, value in last.items() if key not in ("reused_by", "config")} == {
        key: value for key, value in first.items() if key not in ("reused_by", "config")
    }
    one, other = last["reused_by"]
    assert {stage["stage"] for stage in one["computed"]} == {"corpus", "evaluation"}
    assert (other["computed"], "checkpoint_steps" in one["command"]) == ([], True)
    assert (one["group"], one["commit"], one["started"] >= first["started"]) == (None, first["commit"], True)
    page = html.unescape((Path("outputs/runs") / last["name"] / "report.html").read_text())
    assert page.index(first["command"]) < page.index("Reused 2") < page.index(one["command"])


def test_loggers_keep_a_found_run_in_the_group_that_computed_it(tmp_path, monkeypatch):
    write_texts(tmp_path)
    command(monkeypatch, "scorer=length")
    (record,) = records()
    (path,) = Path("outputs/runs").glob("*/record.json")
    path.write_text(json.dumps({**record, "group": "first"}))  # as if a study of this name had computed it
    started, finished = [], []
    monkeypatch.setattr(TensorBoardLogger, "start", lambda self, run: started.append(run.group))
    monkeypatch.setattr(TensorBoardLogger, "metrics", lambda self, row: None)
    monkeypatch.setattr(TensorBoardLogger, "finish", lambda self, record: finished.append(record["group"]))
    command(monkeypatch, "scorer=length", "logger=tensorboard")
    assert (started, finished) == (["first"], ["first"])
    assert records()[0]["reused_by"][0]["group"] is None


def test_a_run_that_is_computed_again_is_a_new_one(tmp_path, monkeypatch):
    write_texts(tmp_path)
    command(monkeypatch, "scorer=length")
    command(monkeypatch, "scorer=length")
    shutil.rmtree(tmp_path / "outputs" / "store" / "model")
    command(monkeypatch, "scorer=length", "runtime.batch_tokens=100")
    (record,) = records()
    assert record["reused_by"] == []
    assert "batch_tokens" in record["command"]
    assert not all(stage["cached"] for stage in record["stages"] if stage["stage"] == "model")


def test_equal_sequences_share_one_training(tmp_path, monkeypatch):
    write_texts(tmp_path)
    command(monkeypatch, "scorer=random", "orderer=shuffle")
    command(monkeypatch, "scorer=length", "orderer=shuffle")  # the shuffle of everything forgets the scores
    first, second = records()
    models = [[stage for stage in record["stages"] if stage["stage"] == "model"] for record in (first, second)]
    assert models[0][0]["key"] == models[1][0]["key"]
    assert models[1][0]["cached"]


def test_speed_settings_reuse_everything(tmp_path, monkeypatch):
    write_texts(tmp_path)
    command(monkeypatch)
    command(monkeypatch, "runtime.batch_tokens=100", "trainer.micro_batch_items=2", "trainer.checkpoint_steps=7")
    (record,) = records()
    assert record["reused_by"][0]["computed"] == []


def test_warm_and_cold_stores_give_the_same_bits(tmp_path, monkeypatch):
    write_texts(tmp_path)
    command(monkeypatch, "orderer=sorting")  # warms corpus, tokens, proxy and scores
    command(monkeypatch)
    command(monkeypatch, "output_dir=cold")
    warm = next(Path("outputs/runs").glob("*folding*")) / "model" / "model.safetensors"
    cold = next(Path("cold/runs").glob("*")) / "model" / "model.safetensors"
    assert warm.read_bytes() == cold.read_bytes()


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_pairs_train_on_the_completion_alone_when_asked(tmp_path, monkeypatch, layout):
    write_texts(tmp_path)
    rows = [{"q": f"question {i} " * 3, "a": f"answer {i}"} for i in range(60)]
    write_jsonl(tmp_path / "train.jsonl", rows)
    fields = ["train_dataset.prompt={q}", "train_dataset.text={a}", f"training.layout={layout}"]
    command(monkeypatch, "scorer=length", *[field.replace("{", "'{").replace("}", "}'") for field in fields])
    command(
        monkeypatch, "scorer=length", "training.completion_only=true",
        *[field.replace("{", "'{").replace("}", "}'") for field in fields],
    )  # fmt: skip
    whole, completion = (record["training"]["tokens"] for record in records())
    assert completion == sum(len(row["a"]) + 1 for row in rows)
    assert whole == completion + sum(len(row["q"]) for row in rows)


def continue_from(model: Path) -> list[str]:
    return [
        "model=hf", f"model.network.name={model}", "model.context_tokens=32", "model.batch_items=8", "proxy=sample",
        "scorer=length",
    ]  # fmt: skip


def test_training_continues_from_a_pretrained_model_with_its_tokenizer(finished, tmp_path, monkeypatch):
    model = finished[0] / "model"
    write_texts(tmp_path)
    command(monkeypatch, *continue_from(model), "tokenizer=hf", f"tokenizer.name={model}")
    (record,) = records()
    before = next(row["value"] for row in finished[1]["results"] if row["metric"] == "loss")
    after = next(row["value"] for row in record["results"] if row["metric"] == "loss")
    assert record["order_verified"] is True
    assert after < before


def test_a_pretrained_model_refuses_a_tokenizer_it_was_not_trained_with(finished, tmp_path, monkeypatch, capsys):
    write_texts(tmp_path)
    with pytest.raises(SystemExit):
        command(monkeypatch, *continue_from(finished[0] / "model"), "tokenizer=bpe", "tokenizer.vocab_size=300")
    assert "use its own: tokenizer=hf" in capsys.readouterr().err
    assert not Path("outputs/store/scores").exists()


def test_a_sweep_runs_every_combination_and_survives_a_failing_job(tmp_path, monkeypatch):
    write_texts(tmp_path)
    with pytest.raises(SystemExit) as leave:
        command(monkeypatch, "-m", "scorer=length", "seed=0,1", "selector=top_k", "selector.k=40,9999")
    assert leave.value.code == 1
    done = records()
    assert [record["config"]["seed"] for record in done] == [0, 1]
    assert len({record["name"] for record in done}) == 2


def test_a_killed_run_is_finished_by_the_same_command_with_the_same_bits(tmp_path, monkeypatch):
    write_texts(tmp_path)
    slow = ["model.batch_items=1", "trainer.checkpoint_steps=10"]
    process = start_run(*FAST, *slow, log=Path("log"))
    while not list(Path("outputs/store/model").glob("*.work/checkpoints/step-*.ckpt")):
        assert process.is_alive(), Path("log").read_text()
        time.sleep(0.01)
    process.kill()
    assert exit_status(process) == -signal.SIGKILL
    assert records() == []
    command(monkeypatch, *slow)
    (record,) = records()
    assert record["order_verified"] is True
    command(monkeypatch, *slow, "output_dir=undisturbed")
    weights = [
        load_file(next(Path(p).glob("runs/*")) / "model" / "model.safetensors") for p in ("outputs", "undisturbed")
    ]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[1])


def test_secrets_of_the_environment_reach_no_file(tmp_path, monkeypatch):
    write_texts(tmp_path)
    monkeypatch.setenv("WANDB_API_KEY", "secret" + "0" * 34)
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    command(monkeypatch, "scorer=length")
    files = [f for f in Path("outputs").rglob("*") if f.is_file()]
    assert files
    assert not [f for f in files if b"secret000" in f.read_bytes() or b"hf_secretsecret" in f.read_bytes()]


def test_the_store_and_the_runs_hold_no_pickle(finished):
    folder, _ = finished
    suffixes = {f.suffix for f in folder.parents[1].rglob("*") if f.is_file()}
    assert not suffixes & {".pkl", ".pickle", ".pt", ".ckpt"}
    assert json.loads((folder / "record.json").read_text())
    assert os.access(folder / "report.html", os.R_OK)


def test_a_dry_run_forecasts_every_phase_and_computes_none(tmp_path, monkeypatch, capsys):
    write_texts(tmp_path)
    command(monkeypatch, "dry_run=true")
    shown = capsys.readouterr().err
    for phase in ("warm start", "annotation: HVP", "annotation: documents", "training", "total"):
        assert phase in shown
    assert not list(tmp_path.glob("outputs/runs/*/*"))
    assert sorted(path.name for path in tmp_path.glob("outputs/store/*")) == ["corpus", "tokenizer", "tokens"]


def test_the_forecast_of_training_is_what_the_record_counts(finished, monkeypatch):
    """Same tokens but for the end-of-text tokens and the incomplete last batch."""
    from delt_exp.dry_run import preview

    folder, record = finished
    monkeypatch.chdir(folder.parents[2])
    found = preview(OmegaConf.create(record["config"]))
    assert found.cached == ["scores", "training", "evaluation"]
    (training,) = (cost for cost in found.costs if cost.phase == "training")
    assert training.flops == pytest.approx(record["training"]["flops"], rel=0.1)


def test_alignment_is_measured_before_and_after_selection(tmp_path, monkeypatch):
    write_texts(tmp_path)
    command(monkeypatch, "alignment=[unigram,ncd]", "scorer=length", "selector.ratio=0.3")
    (record,) = records()
    assert [(row["metric"], row["evaluation"]) for row in record["alignment"]] == [
        ("unigram", "eval"),
        ("ncd", "eval"),
    ]
    for row in record["alignment"]:
        assert row["before"]["value"] != row["trained"]["value"]
        assert row["trained"]["low"] < row["trained"]["value"] < row["trained"]["high"]
    page = next(Path("outputs/runs").glob("*/report.html")).read_text()
    assert "after selection" in page
