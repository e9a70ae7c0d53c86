"""A study as loggers show it: every run and the study itself, read back from what lies on disk."""

import csv
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import wandb

from delt_exp.cli.main import main
from delt_exp.study.record import read_study
from delt_exp.trainer.metrics_file import MetricsFile
from tests.helpers import words
from tests.logger.wandb.reader import read_offline_run
from tests.runs import write_jsonl
from tests.study.comparison.test_run import SMALL

pytestmark = pytest.mark.slow

# The second arm is trained by two processes.
TWO_PROCESSES = "'trainer=ddp', 'trainer.accelerator=cpu', 'trainer.log_steps=1', 'trainer.num_workers=0'"
GRID = (
    "study.slices.grid={scorer: [length], selector.ratio: [0.5],"
    f" orderer: [{{folding: ['orderer=folding', {TWO_PROCESSES}]}}]}}"
)
WORLD_SIZES = [1, 2]
NAMES = {"random · 1.0 · shuffle · s0", "length · 0.5 · folding · s0"}


def write_news():
    """Write the texts of the study to the current folder."""
    Path("data/news_agnews").mkdir(parents=True)
    for split, count, seed in (("train", 60, 0), ("validation", 12, 1)):
        write_jsonl(Path(f"data/news_agnews/{split}.jsonl"), [{"text": f"{split} {t}"} for t in words(count, seed)])


def run_study(patch):
    """Run a study of two arms in the current folder; returns it with its runs in W&B's words."""
    patch.setattr(sys, "argv", ["run.py", *SMALL, "~study.slices.longer", GRID, "logger=[tensorboard,wandb]"])
    main()
    wandb.teardown()  # which writes their files to the end
    study, _ = read_study(Path("outputs/order_only"))
    return study, [read_offline_run(Path(run.folder)) for run in study.runs]


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A study that was logged twice: when it was trained, and when everything was found."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("WANDB_SILENT", "true")
        write_news()
        _, first = run_study(patch)
        study, runs = run_study(patch)
        own = read_offline_run(study.folder)
    return SimpleNamespace(study=study, first=first, runs=runs, own=own, folder=folder / study.folder)


def test_there_is_one_run_a_job_and_one_of_the_study_all_in_one_group(logged):
    assert len(list(logged.folder.parent.rglob("*.wandb"))) == len(logged.study.runs) + 1 == 3
    everything = [*logged.runs, logged.own]
    assert {run.run.run_group for run in everything} == {"order_only"}
    assert [run.run.job_type for run in everything] == ["experiment", "experiment", "study"]
    assert len({run.run.run_id for run in everything}) == 3
    assert [run.exit_code for run in everything] == [0, 0, 0]


def test_runs_are_named_by_what_differs_and_the_study_by_its_name(logged):
    assert {run.run.display_name for run in logged.runs} == NAMES
    assert logged.own.run.display_name == "order_only"
    assert [run.config["arm"]["selector_ratio"] for run in logged.runs] == ["1.0", "0.5"]
    assert [run.config["folder"] for run in logged.runs] == [Path(run.folder).name for run in logged.study.runs]


def test_every_run_is_complete_when_it_is_trained_and_when_it_is_reused(logged):
    assert [planned.record()["training"]["world_size"] for planned in logged.study.runs] == WORLD_SIZES
    for planned, *runs in zip(logged.study.runs, logged.first, logged.runs, strict=True):
        lines = MetricsFile(Path(planned.folder) / "metrics.csv").rows()
        assert len(lines) == planned.record()["training"]["steps"]
        for run in runs:
            losses = [row["train/loss"] for row in run.history if "train/loss" in row]
            assert losses == [line["train/loss"] for line in lines]
            assert "eval/agnews/loss" in run.summary


def test_the_study_shows_its_answer_tables_figures_and_page(logged):
    (row,) = logged.own.history
    tables = {path.stem for path in (logged.folder / "tables").glob("*.csv")}
    assert {key.split("/")[1].split(".")[0] for key in row if key.startswith("tables/")} == tables
    assert {row[f"figures/{name}._type"] for name in ("leaderboard", "training")} == {"plotly-file"}
    assert row["study_report._type"] == "html-file"
    page = (logged.folder / "report.html").read_text()
    assert all(line in page for line in row["answer"].splitlines())
    assert logged.own.run.notes.startswith("Does a score make a better order than chance")


def test_an_interval_takes_three_columns_as_in_the_csv_file(logged):
    (path,) = logged.folder.glob("wandb/offline-run-*/files/media/table/tables/leaderboard_*.table.json")
    table = json.loads(path.read_text())
    header, *rows = csv.reader((logged.folder / "tables" / "leaderboard.csv").open())
    assert table["columns"] == header
    assert [[("" if cell is None else str(cell)) for cell in row] for row in table["data"]] == rows
    assert {"nats/token", "nats/token low", "nats/token high"} <= set(header)


def test_the_artifact_of_the_study_holds_its_files_and_names_its_runs(logged):
    artifact = logged.own.artifacts["study"]
    files = {entry.path for entry in artifact.manifest.contents}
    assert {"report.html", "study.json", "tables/leaderboard.csv", "tables/leaderboard.md"} <= files
    metadata = json.loads(artifact.metadata)
    assert metadata["runs"] == [run.run.run_id for run in logged.runs]
    for run in logged.runs:
        assert run.run.run_id in run.artifacts["model"].aliases  # what the study consumes online


def test_tensorboard_has_the_answer_and_the_tables_once(logged):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tests.logger.test_tensorboard import read_events

    events = read_events(logged.folder)
    (answer,) = events.Tensors("answer/text_summary")
    assert "Does a score make a better order than chance" in answer.tensor_proto.string_val[0].decode()
    (board,) = events.Tensors("tables/leaderboard/text_summary")
    assert (logged.folder / "tables" / "leaderboard.md").read_text() in board.tensor_proto.string_val[0].decode()
