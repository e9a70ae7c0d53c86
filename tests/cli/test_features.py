"""Stored features: listed, and used for a later target without a pass over the corpus."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from delt_exp.cli.features import main
from delt_exp.files import read_json, write_json
from delt_exp.scorer.influence import passes
from tests.helpers import words
from tests.runs import command, records, write_jsonl, write_texts

LESS = ("scorer=less", "scorer.warm_up.share=0.3", "scorer.warm_up.context_tokens=32", "scorer.warm_up.epochs=2",
        "scorer.context_tokens=16", "scorer.num_features=512")  # fmt: skip
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with two runs, of which the first has stored features."""
    folder = tmp_path_factory.mktemp("features")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_texts(folder)
        write_jsonl(folder / "later.jsonl", [{"text": text} for text in words(9, seed=7)])
        command(patch, *LESS, "scorer.save_features=true", "name=kept")
        command(patch, *LESS, "name=plain", "target_dataset.path=later.jsonl")
    return folder


@pytest.fixture
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


def folder_of(name):
    """The folder of a run, or of one that is not there."""
    return str(next(Path("outputs/runs").glob(f"{name}-*"), Path("outputs/runs") / name))


def told(capsys, *arguments):
    main(arguments)
    return capsys.readouterr().out


def scores_of(said):
    """The scores in the file that the command says it wrote."""
    return pq.read_table(said.rsplit("scores: ", 1)[1].split(",")[0])["score"].to_pylist()


def test_the_list_names_the_run_that_left_them(here, capsys):
    header, line, total = told(capsys, "list").splitlines()
    assert header.split()[:2] == ["key", "documents"]
    assert line.split()[1:3] == ["80", "512"]
    assert "adam, 2 checkpoints" in line
    assert line.endswith(folder_of("kept"))
    assert total == "1 sets of features"


def test_a_later_target_is_scored_without_a_pass_over_the_corpus(here, capsys, monkeypatch):
    monkeypatch.setattr(passes, "map_documents", lambda *_: pytest.fail("the corpus was read"))
    said = told(capsys, "score", folder_of("kept"), "target_dataset=jsonl", "target_dataset.path=later.jsonl")
    estimated = pq.read_table(said.rsplit("scores: ", 1)[1].split(",")[0])
    exact = pq.read_table(f"{folder_of('plain')}/scores.parquet")
    assert estimated["id"].to_pylist() == exact["id"].to_pylist()
    errors = estimated["score"].to_numpy() - exact["score"].to_numpy()
    assert 0 < (errors**2).mean() ** 0.5 <= 2 * 512**-0.5
    assert "80 documents" in said
    assert "9 shots" in said


def test_a_run_that_stopped_after_scoring_can_be_scored_too(here, capsys, monkeypatch):
    kept = (*LESS[:-1], "scorer.num_features=384", "scorer.save_features=true")
    command(monkeypatch, *kept, "stop_after=scores", "name=stopped")
    assert folder_of("stopped") in told(capsys, "list")
    said = told(capsys, "score", folder_of("stopped"), "target_dataset=jsonl", "target_dataset.path=later.jsonl")
    assert "80 documents" in said


@pytest.mark.parametrize(
    ("options", "stage"),
    [
        ((*LESS[:-1], "scorer.num_features=640", "scorer.save_features=true"), "features"),
        (("scorer=dvemb", "optimizer@scorer.optimizer=sgd", "scorer.optimizer.lr=0.03", "scorer.num_features=640",
          "scorer.save_embeddings=true"), "embeddings"),
    ],
)  # fmt: skip
def test_what_was_removed_is_made_again_where_asked_for_although_the_scores_of_the_run_are_stored(
    here, capsys, monkeypatch, options, stage
):
    later = "target_dataset.path=later.jsonl"
    command(monkeypatch, *options, "stop_after=scores", f"name=removed_{stage}")
    command(monkeypatch, *options, "stop_after=scores", f"name=direct_{stage}", later)
    score = "score", folder_of(f"removed_{stage}"), "target_dataset=jsonl", later
    before = scores_of(told(capsys, *score))
    (about,) = (path for path in Path("outputs/store").glob(f"*{stage}/*/about.json") if "640" in path.read_text())
    shutil.rmtree(about.parent)
    with pytest.raises(SystemExit, match="1"):
        main(score)
    assert "add --again" in capsys.readouterr().err
    again = scores_of(told(capsys, *score, "--again"))
    assert again == pq.read_table(f"{folder_of(f'direct_{stage}')}/scores.parquet")["score"].to_pylist()
    assert about.exists()
    assert scores_of(told(capsys, *score)) == before != again


def test_a_later_target_near_a_candidate_leaves_the_candidates_of_the_run_as_they_are(here, capsys, monkeypatch):
    command(monkeypatch, *LESS, "decontaminate=true", "name=clean")
    near = Path("later.jsonl").read_text() + Path("train.jsonl").read_text().splitlines()[0] + "\n"
    Path("near.jsonl").write_text(near)
    said = told(capsys, "score", folder_of("clean"), "target_dataset=jsonl", "target_dataset.path=near.jsonl")
    assert "80 documents" in said
    assert "10 shots" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kept", "target_dataset.path=later.jsonl"], "none of them names it: give target_dataset=NAME"),
        (["kept", "target_dataset=jsonl", "scorer=length"], "scorer=length is not one of them"),
        (["nothing", "target_dataset=jsonl"], "is not the folder of a run"),
        (["plain", "target_dataset=jsonl", "target_dataset.path=target.jsonl"], None),
    ],
)
def test_what_cannot_be_scored_is_said(here, capsys, arguments, message):
    run, *overrides = arguments
    if message is None:  # the same documents under the same settings: whose run it is does not matter
        assert "80 documents" in told(capsys, "score", folder_of(run), *overrides)
        return
    with pytest.raises(SystemExit):
        main(["score", folder_of(run), *overrides])
    assert message in capsys.readouterr().err


def test_runs_of_other_scorers_have_no_features(here, capsys, monkeypatch):
    command(monkeypatch, "scorer=length", "name=length")
    with pytest.raises(SystemExit):
        main(["score", folder_of("length"), "target_dataset=jsonl", "target_dataset.path=later.jsonl"])
    assert "has the scorer LengthScorer, which stores no features" in capsys.readouterr().err


def test_a_run_of_a_version_with_fewer_settings_is_to_be_repeated(here, capsys):
    record = read_json(Path(folder_of("kept")) / "record.json")
    del record["config"]["selector"]
    (here / "older").mkdir()
    write_json(here / "older" / "record.json", record)
    with pytest.raises(SystemExit):
        main(["score", "older", "target_dataset=jsonl", "target_dataset.path=later.jsonl"])
    assert "older was recorded by a version without selector; repeat the run" in capsys.readouterr().err


def test_features_of_other_settings_are_not_used(here, capsys, monkeypatch):
    command(monkeypatch, *LESS[:-1], "scorer.num_features=256", "name=other")
    with pytest.raises(SystemExit):
        main(["score", folder_of("other"), "target_dataset=jsonl", "target_dataset.path=later.jsonl"])
    assert "no features are stored for these documents under these settings" in capsys.readouterr().err


def test_the_record_counts_the_features_among_the_stages(here):
    (kept,) = [record for record in records() if record["name"].startswith("kept")]
    assert "features" in {stage["stage"] for stage in kept["stages"]}


def test_a_valued_run_is_listed_and_valued_for_a_later_target(here, capsys, monkeypatch):
    kept = ("scorer=dvemb", "scorer.save_embeddings=true", "scorer.num_features=4096", "scorer.curvature=fisher")
    command(monkeypatch, *kept, "name=valued")
    command(monkeypatch, *kept, "name=exact", "target_dataset.path=later.jsonl")
    (line,) = [line for line in told(capsys, "list").splitlines() if "4,096" in line]
    assert line.split()[1:3] == ["80", "4,096"]
    said = told(capsys, "score", folder_of("valued"), "target_dataset=jsonl", "target_dataset.path=later.jsonl")
    assert "data value of 80 documents" in said
    estimated = pq.read_table(said.rsplit("scores: ", 1)[1].split(",")[0])["score"].to_numpy()
    exact = pq.read_table(f"{folder_of('exact')}/scores.parquet")["score"].to_numpy()
    assert np.corrcoef(estimated, exact)[0, 1] > 0.9
