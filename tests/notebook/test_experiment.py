"""An experiment computes what it is asked for, once, and the same as `python run.py` with its command."""

import asyncio
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf.errors import ReadonlyConfigError

import delt_exp
from delt_exp.cli import compare
from delt_exp.cli.main import main
from delt_exp.config.build import CONF
from delt_exp.errors import ConfigError
from delt_exp.notebook.shown import Facts, as_html
from tests.helpers import words
from tests.runs import FAST, command, records, write_jsonl, write_texts

SMALL = [text for text in FAST if not text.startswith(("train_dataset", "target_dataset", "eval_dataset", "scorer"))]
TEXTS, HELD_OUT = words(80), words(12, 2)


def make(*overrides, **corpora):
    corpora = {"train_dataset": TEXTS, "eval_dataset": {"news": HELD_OUT}} | corpora
    return delt_exp.experiment(*SMALL, "scorer=length", *overrides, **corpora)


def stages(folder="outputs"):
    return {f"{path.parent.parent.name}/{path.parent.name}" for path in Path(folder).glob("store/*/*/entry.json")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def folded(folder):
    return make(f"output_dir={folder}").train()


@pytest.fixture(scope="module")
def shuffled(folder):
    return make(f"output_dir={folder}", "orderer=shuffle").train()


@pytest.mark.slow
def test_each_step_computes_only_what_it_needs():
    made = make()
    assert stages() == set()
    assert len(made.scores) == 80
    assert {stage.split("/")[0] for stage in stages()} == {"corpus", "tokenizer", "tokens", "overlap", "scores"}
    before = stages()
    assert len(made.order) == len(made.selection)
    assert stages() == before
    assert not (made.folder / "record.json").exists()


@pytest.mark.slow
def test_what_was_said_of_an_experiment_is_not_repeated_by_its_next_steps(capsys):
    known = {"news": TEXTS[:12]}
    made = make(eval_dataset=known)
    for _ in (made.scores, made.selection, made.order):
        pass
    lines = capsys.readouterr().err.splitlines()
    assert sum("results on news may flatter the model" in line for line in lines) == 1
    assert len(set(lines)) == len(lines)
    assert len(make(eval_dataset=known).scores) == len(TEXTS)  # another object is told anew
    assert "may flatter" in capsys.readouterr().err


@pytest.mark.slow
def test_tables_are_those_of_the_run(folded):
    scores, selection, order = folded.scores, folded.selection, folded.order
    assert list(scores) == ["id", "score", "source", "tokens", "record"]
    assert folded.texts(scores) == TEXTS == [TEXTS[record] for record in scores["record"]]
    assert scores["tokens"].tolist() == [len(text.encode()) for text in TEXTS]
    assert set(order["id"]) == set(selection["id"])
    assert selection.index.is_monotonic_increasing
    assert not order.index.is_monotonic_increasing
    assert selection.equals(scores.loc[selection.index])
    results = folded.results
    assert list(results["dataset"].unique()) == ["news"]
    assert results["metric"].tolist() == ["loss", "perplexity", "bits_per_byte"]
    assert results[["value", "stderr"]].notna().all(axis=None)
    assert folded.report().read_text().startswith("<!doctype html>")


@pytest.mark.slow
def test_run_py_finds_what_a_notebook_computed(monkeypatch, folded, folder):
    before = stages(folder)
    monkeypatch.setattr(sys, "argv", shlex.split(folded.command)[1:])
    main()
    record = json.loads((folded.folder / "record.json").read_text())
    assert record["command"] == folded.command
    assert [use["computed"] for use in record["reused_by"]] == [[]]
    assert stages(folder) == before


@pytest.mark.slow
def test_a_notebook_finds_what_run_py_computed(monkeypatch, tmp_path):
    write_texts(tmp_path)
    command(monkeypatch, "scorer=length", "eval_dataset=none")
    before, (record,) = stages(), records()
    made = delt_exp.experiment(*SMALL, "scorer=length", "eval_dataset=none", "target_dataset=jsonl",
                               "target_dataset.path=target.jsonl", train_dataset="train.jsonl")  # fmt: skip
    assert made.folder.name == record["name"]
    assert len(made.train().scores) == record["selection"]["of_documents"]
    assert "record" not in made.scores  # of a file, records are its lines
    assert stages() == before
    assert made.record["reused_by"][-1]["computed"] == []


@pytest.mark.slow
def test_a_file_that_was_changed_is_read_anew_by_a_new_experiment(tmp_path):
    for texts in (TEXTS, TEXTS[:40]):
        write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in texts])
        made = delt_exp.experiment(*SMALL, "scorer=length", "eval_dataset=none", train_dataset="a.jsonl")
        assert made.texts(made.scores) == texts
        assert "training" not in made.record
        made.train()


@pytest.mark.slow
def test_the_same_texts_are_the_same_experiment_and_another_order_is_another():
    names = [make(train_dataset=texts).folder.name for texts in (TEXTS, list(TEXTS), TEXTS[::-1])]
    assert names[0] == names[1] != names[2]


@pytest.mark.slow
def test_the_verdict_is_that_of_the_comparison_on_the_command_line(folded, shuffled, tmp_path):
    found = delt_exp.verdict(shuffled, folded, names=["shuffled", "folded"])
    named = [f"{name}={run.folder}" for name, run in (("shuffled", shuffled), ("folded", folded))]
    said = compare.run(compare._parser().parse_args([*named, "--out", str(tmp_path)]))
    assert found.sentences == said.splitlines()[: len(found.sentences)]
    (row,) = found.table.to_dict("records")
    loss = [run.results.set_index("metric").loc["loss", "value"] for run in (folded, shuffled)]
    assert (row["value"], row["baseline"]) == pytest.approx(loss, rel=1e-6)
    assert row["difference"] == pytest.approx(loss[0] - loss[1], abs=1e-6)
    assert row["low"] < row["difference"] < row["high"]
    assert row["result"] == "folded"
    assert "&lt;" not in found._repr_html_()
    assert "folded" in found._repr_html_()


def test_a_verdict_needs_a_name_for_all_or_none(folded):
    with pytest.raises(ConfigError, match=r"names=\['a'\] names 1 of 2 results"):
        delt_exp.verdict(folded, folded, names=["a"])
    with pytest.raises(ConfigError, match=r"alpha=2 is not allowed"):
        delt_exp.verdict(folded, folded, alpha=2)


def test_an_experiment_says_what_is_computed_and_what_came_out(folded):
    fresh = make("seed=5")
    assert repr(fresh).count("not computed yet") == 4
    assert "nothing has been computed yet" in repr(fresh)
    shown = repr(folded)
    assert "80 documents, " in shown
    assert "not computed" not in shown
    assert "order verified" in shown
    assert " on news." in shown.splitlines()[-1]
    assert " on news." in folded._repr_html_()


def test_nothing_that_is_shown_is_taken_for_markup():
    shown = as_html(Facts("<b>", [("<i>", "a & b")], "<script>"))
    for raw in ("<i>", "a & b", "<script>"):
        assert raw not in shown
    assert "&lt;b&gt;" in shown


def test_an_experiment_made_anew_knows_what_was_computed(folded):
    again = make(f"output_dir={folded.config.output_dir}")
    assert again.folder == folded.folder
    assert repr(again) == repr(folded)


def test_the_configuration_is_complete_and_can_only_be_read(folded):
    assert folded.config.model.optimizer.lr > 0
    assert folded.components.scorer.VERSION
    with pytest.raises(ReadonlyConfigError):
        folded.config.seed = 1


def test_scores_of_a_few_documents_stay_beside_them():
    table = delt_exp.score(["a b c", "", "hello", "a b c"], "length", "scorer.unit=bytes", "tokenizer=byte")
    assert table["record"].tolist() == [0, 2, 3]
    assert table["score"].tolist() == [5, 5, 5]
    assert table["tokens"].tolist() == [5, 5, 5]
    assert table["id"][0] == table["id"][2] != table["id"][1]


def test_a_target_is_a_corpus_too():
    table = delt_exp.score(["fold the data", "zebra"], "ngram_match", "tokenizer=byte", target=["fold the data"])
    assert table["score"][0] != table["score"][1]


@pytest.mark.slow
def test_hydra_is_left_as_it_was():
    make()
    assert not GlobalHydra.instance().is_initialized()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        theirs = GlobalHydra.instance().hydra
        make()
        assert GlobalHydra.instance().hydra is theirs
        assert compose("config", ["seed=3"]).seed == 3
    assert not GlobalHydra.instance().is_initialized()


@pytest.mark.slow
def test_it_works_while_an_event_loop_runs_as_in_a_notebook():
    async def cell():
        return len(make().scores)

    assert asyncio.run(cell()) == 80


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["scorr=length"], r"no key or group 'scorr', did you mean 'scorer'\?"),
        (["scorer=lenght"], r"scorer has no option 'lenght', did you mean 'length'\?"),
        (["selector.ratio=2"], r"selector\.ratio=2 is not allowed; set it to a number in \(0, 1\]"),
        (["length"], r"'length' has no '='"),
        (["seed=0,1"], r"'seed=0,1' has several values, .*make one experiment per value"),
        (["scorer=length,lqs"], r"'scorer=length,lqs' has several values"),
        (["study=order_only"], r"'study=order_only' cannot be set in .*python run\.py study=NAME"),
        (["stop_after=order"], r"'stop_after=order' cannot be set in .*ask for scores, selection or order"),
        (["-m"], r"'-m' cannot be set in"),
        (["train_dataset=stdlib"], r"'train_dataset=stdlib' and train_dataset=\.\.\. choose the same"),
    ],
)
def test_what_is_no_setting_of_one_run_is_refused_when_the_experiment_is_made(overrides, message):
    with pytest.raises(ConfigError, match=message):
        delt_exp.experiment(*overrides, train_dataset=TEXTS)


def test_import_loads_nothing_that_takes_time():
    code = (
        "import sys, delt_exp; print({'torch', 'hydra', 'pandas', 'numpy', 'rich'} & set(sys.modules), dir(delt_exp))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "set() ['experiment', 'runs', 'score', 'verdict']\n"


def test_an_unknown_name_says_which_there_are():
    with pytest.raises(AttributeError, match=r"no attribute 'experimant'; it has experiment, runs, score, verdict"):
        delt_exp.experimant  # noqa: B018


@pytest.mark.slow
def test_an_installed_package_finds_its_configuration(tmp_path):
    root = CONF.parent
    build = ["build", "--build-base", tmp_path / "base", "--build-lib", tmp_path / "lib"]
    subprocess.run([sys.executable, "setup.py", "-q", *build, "egg_info", "--egg-base", tmp_path], cwd=root, check=True)
    code = (
        "import delt_exp; from delt_exp.config.build import CONF; made = delt_exp.experiment('scorer=length');"
        "print(CONF, made.config.scorer._target_)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "lib"), "PATH": ""},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == f"{tmp_path / 'lib' / 'delt_exp' / 'conf'} delt_exp.scorer.length.LengthScorer\n"
    ours = {path.relative_to(CONF) for path in CONF.rglob("*.yaml")}
    installed = tmp_path / "lib" / "delt_exp" / "conf"
    assert {path.relative_to(installed) for path in installed.rglob("*.yaml")} == ours
