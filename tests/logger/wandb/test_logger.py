"""What W&B is told, read back from the file of an offline run."""

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import wandb

from delt_exp.errors import ConfigError
from delt_exp.logger.wandb.logger import WandbLogger
from tests.logger.run_folder import CHOICES, RECORD, ROWS, make_run, make_study
from tests.logger.wandb.reader import read_offline_run

SECRET = "5ec2e7" * 7  # as long as a real key
NUM_ROWS = 600  # more than one block of the file
SETTINGS = {
    "project": "reading",
    "entity": None,
    "mode": "auto",
    "tags": ["night"],
    "log_model": True,
}


class Terminal(io.StringIO):
    """Looks like a person at a keyboard, who must not be asked."""

    def isatty(self):
        return True

    def read(self, *_):
        raise AssertionError("the logger waits for a person")

    readline = read


def loss_at(step):
    return 1 + abs(step - 400) / 128


def row_at(step):
    return {"step": float(step), "tokens": 64.0 * step, "seconds": step / 4, "train/loss": loss_at(step)}


def isolate(patch, folder):
    """No key, no settings and no files of the user; W&B writes below `folder` only."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        patch.delenv(name)
    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "HOME"):
        patch.setenv(name, str(folder))
    patch.setenv("NETRC", str(folder / "netrc"))
    patch.setenv("WANDB_SILENT", "true")
    patch.setenv("WANDB_INIT_TIMEOUT", "1")
    patch.setattr(sys, "stdin", Terminal())


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of one process: the first without a key and finished, the second with a key, offline and abandoned."""
    folder = tmp_path_factory.mktemp("wandb")
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch, folder)
        wandb.teardown()
        first, second = make_run(folder), make_run(folder, "day-89abcdef", "89abcdef01234567")
        logger = WandbLogger(**SETTINGS)
        logger.start(first)
        for step in range(1, NUM_ROWS + 1):
            logger.metrics(row_at(step))
        logger.finish(RECORD)
        patch.setenv("WANDB_API_KEY", SECRET)
        logger = WandbLogger(**SETTINGS | {"mode": "offline"})
        logger.start(replace(second, config={"seed": 4}, group=None, arm={}))
        logger.metrics(ROWS[0])
        logger.abandon()
        wandb.teardown()
    return SimpleNamespace(
        folder=folder, first=read_offline_run(first.folder), second=read_offline_run(second.folder), info=first
    )


@pytest.fixture
def first(runs):
    return runs.first


@pytest.mark.slow
def test_a_run_of_a_study_is_named_by_what_differs_and_tagged_with_the_choices(first):
    run = first.run
    assert (run.run_id, run.display_name, run.project) == ("0123456789abcdef", "lqs · 0.5 · s3", "reading")
    assert (run.run_group, run.job_type) == ("study", "experiment")
    assert list(run.tags) == ["scorer=perplexity", "selector=top_r", "orderer=folding", "model=tiny", "night"]


@pytest.mark.slow
def test_a_run_outside_a_study_is_named_as_its_folder(runs):
    assert runs.second.run.display_name == "day-89abcdef"


def test_the_configuration_is_complete_and_can_be_grouped_by_arm(first):
    expected = {"seed": 3, "selector": {"ratio": 0.5}, "name": None, "choices": CHOICES}
    expected |= {"arm": {"scorer": "lqs", "selector_ratio": "0.5"}, "folder": "night-01234567"}
    assert {key: value for key, value in first.config.items() if key != "_wandb"} == expected


def test_every_line_of_training_arrives_once_and_in_order(first):
    assert [row["_step"] for row in first.history] == list(range(1, NUM_ROWS + 1))
    for step, row in enumerate(first.history, 1):
        assert row["train/tokens"] == 64 * step
        assert row["train/seconds"] == step / 4
        assert row["train/loss"] == loss_at(step)


def test_curves_and_evaluations_are_drawn_against_trained_tokens(first):
    axes = {name: metric.step_metric for name, metric in first.metrics.items()}
    assert axes == {
        "train/tokens": "",
        "train/*": "train/tokens",
        "train/loss": "train/tokens",
        "eval/*": "train/tokens",
    }


def test_the_summary_holds_the_smallest_loss_and_every_measure(first):
    assert first.summary["train/loss"] == {"min": 1.0}
    expected = {
        "eval/prose/loss": 3.5,
        "eval/prose/loss_stderr": 0.25,
        "eval/prose/loss_count": 7,
        "eval/quiz/acc": 0.75,
        "eval/quiz/acc_count": 4,
        "order_verified": True,
        "alignment/prose/ncd": 0.625,
        "cost/scoring_seconds": 9.0,
        "cost/training_seconds": 4.0,
        "stage_seconds/scores": 9.0,
        "stage_seconds/model": 4.0,
        "selection/kept_documents": 3,
        "training/tokens": 1600,
        "seconds": 12.5,
    }
    assert {name: first.summary.get(name) for name in expected} == expected
    assert "eval/quiz/acc_stderr" not in first.summary


def test_the_evaluation_stands_at_the_last_number_of_tokens(first):
    (row,) = [row for row in first.history if "eval/prose/loss" in row]
    assert row["train/tokens"] == 64 * NUM_ROWS


def test_the_histogram_counts_every_score(first):
    last = first.history[-1]
    assert (last["score.bins"][0], last["score.bins"][-1]) == (0.0, 4.0)
    filled = {edge: count for edge, count in zip(last["score.bins"], last["score.values"], strict=False) if count}
    assert filled == {0.0: 1, 1.0: 2, 3.9375: 1}  # 64 bins of 1/16; the last holds its right edge


def test_tables_hold_documents_results_costs_and_evidence(runs):
    def table(name):
        (path,) = runs.info.folder.glob(f"wandb/offline-run-*/files/media/table/{name}_*.table.json")
        content = json.loads(path.read_text())
        return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]

    assert [(row["group"], row["text"]) for row in table("documents")] == [
        ("best", "<b>best</b> naïve"),
        ("median", "<b>median</b> naïve"),
        ("worst", "<b>worst</b> naïve"),
    ]
    assert [(row["dataset"], row["value"], row["stderr"]) for row in table("results")] == [
        ("prose", 3.5, 0.25),
        ("quiz", 0.75, None),
    ]
    assert [(row["stage"], row["own"], row["build_seconds"], row["peak_bytes"]) for row in table("stages")] == [
        ("model", False, 2.0, 512),
        ("scores", True, 9.0, 1024),
        ("model", True, 4.0, 2048),
    ]
    assert table("evidence/fit") == [{"id": 0, "annotated": 0.5}, {"id": 1, "annotated": 1.5}]


def test_pictures_page_and_record_are_files_of_the_run(first):
    media = {Path(path).suffix for path in first.saved_files if path.startswith("media/") and "table" not in path}
    assert media == {".png", ".html"}
    assert "record.json" in first.saved_files
    assert first.history[-1]["plots/loss._type"] == "image-file"


def test_artifacts_name_what_they_were_made_from(first):
    logged = {kind: first.artifacts[kind] for kind in ("scores", "order", "model")}
    assert [artifact.name for artifact in logged.values()] == [
        "scores-stdlib-perplexity",
        "order-stdlib-perplexity-top_r-folding",
        "model-stdlib-perplexity-top_r-folding-tiny",
    ]
    scores, order, model = (json.loads(artifact.metadata) for artifact in logged.values())
    assert len({scores["digest"], order["digest"], model["digest"]}) == 3
    assert scores["made_from"] == {}
    assert order["made_from"] == {"scores": scores["digest"]}
    assert model["made_from"] == {"order": order["digest"]}
    files = [[entry.path for entry in artifact.manifest.contents] for artifact in logged.values()]
    assert files == [["scores.parquet"], ["order.parquet"], ["config.json", "model.safetensors"]]


def test_two_runs_of_one_process_do_not_mix(runs):
    assert runs.second.run.run_id == "89abcdef01234567"
    assert runs.second.config["seed"] == 4
    assert runs.second.run.run_group == ""
    assert [row["train/loss"] for row in runs.second.history] == [5.0]


def test_a_finished_run_ends_with_0_and_an_abandoned_one_with_1(runs):
    assert (runs.first.exit_code, runs.second.exit_code) == (0, 1)


@pytest.mark.slow
def test_a_finished_run_replaces_earlier_attempts_on_disk_but_none_that_may_still_be_written(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path)
    logger, info = WandbLogger(**SETTINGS), make_run(tmp_path)
    killed, other = (info.folder / "wandb" / f"offline-run-{year}0101_000000-{info.id}" for year in (2026, 2999))
    for folder in (other, killed):
        folder.mkdir(parents=True)
    for _ in range(2):
        logger.start(info)
        logger.metrics(ROWS[0])
        logger.abandon()
        wandb.teardown()  # as at the end of a process: only then is the file whole
    logger.start(info)
    logger.finish(RECORD)
    wandb.teardown()
    (file,) = info.folder.glob("wandb/offline-run-*/*.wandb")
    assert read_offline_run(info.folder).exit_code == 0
    assert set(info.folder.glob("wandb/offline-run-*")) == {other, file.parent}


def files_with_the_key(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".log" for path in files)
    return [path for path in files if SECRET.encode() in path.read_bytes()]


def test_the_api_key_is_in_no_file(runs):
    assert files_with_the_key(runs.folder) == []


def test_the_environment_decides_in_mode_auto_but_cannot_force_a_question(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path)
    modes = []
    monkeypatch.setattr(wandb, "init", lambda **options: modes.append(options["mode"]) or StandIn())
    for variable in ("disabled", "offline", "online"):
        monkeypatch.setenv("WANDB_MODE", variable)
        wandb.teardown()
        WandbLogger(**SETTINGS).start(make_run(tmp_path / variable))
    assert modes == ["disabled", "offline", "offline"]


def test_online_without_a_key_is_an_error_with_a_cure(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path)
    wandb.teardown()
    with pytest.raises(ConfigError, match=r"no W&B API key is configured.*`wandb login`"):
        WandbLogger(**SETTINGS | {"mode": "online"}).start(make_run(tmp_path))


def test_an_unknown_mode_is_refused_with_the_allowed_ones():
    with pytest.raises(ConfigError, match=r"'cloud' is not allowed; set .* to one of: auto, online, offline, disabled"):
        WandbLogger(**SETTINGS | {"mode": "cloud"})


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["auto", "online"])
def test_a_server_that_does_not_answer_is_an_error_with_a_cure_that_works(tmp_path, mode):
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from pathlib import Path
from delt_exp.errors import DependencyError
from tests.logger.wandb.test_logger import SETTINGS, WandbLogger, make_run
info = make_run(Path("."))
try:
    WandbLogger(**SETTINGS | {{"mode": {mode!r}}}).start(info)
except DependencyError as error:
    assert "cannot log online" in str(error) and "logger.wandb.mode=offline" in str(error), error
else:
    raise AssertionError("online without a server")
logger = WandbLogger(**SETTINGS | {{"mode": "offline"}})
logger.start(info)
logger.abandon()
"""
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch, tmp_path)
        patch.setenv("WANDB_API_KEY", SECRET)
        patch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nothing listens there
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, timeout=60, check=False
        )
    assert done.returncode == 0, done.stderr.decode()
    assert read_offline_run(tmp_path / "night-01234567").exit_code == 1
    assert files_with_the_key(tmp_path) == []


class StandIn:
    """Plays an online run that already has the lines before step 20."""

    step, offline, disabled, id, dir = 20, False, False, "0123456789abcdef", "wandb/run-1/files"

    def __init__(self):
        Path(self.dir).mkdir(parents=True, exist_ok=True)
        self.steps, self.logged, self.aliases, self.consumed, self.summary = [], [], [], [], {}
        self.exit_code, self.settings = None, SimpleNamespace(finish_timeout=5)

    def define_metric(self, *_, **__): ...

    def save(self, *_, **__): ...

    def log(self, values, step=None):
        self.steps.append(step)

    def log_artifact(self, artifact, aliases=("latest",)):
        self.logged.append(artifact)
        self.aliases.append(list(aliases))
        return SimpleNamespace(name=artifact.name, wait=lambda timeout: artifact)

    def use_artifact(self, artifact):
        name = artifact if isinstance(artifact, str) else artifact.type
        if "order" in name:
            raise wandb.errors.CommError("connection lost")
        self.consumed.append(name)

    def finish(self, exit_code=0):
        self.exit_code = exit_code


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path)
    run, options = StandIn(), {}
    monkeypatch.setattr(wandb, "login", lambda **_: True)
    monkeypatch.setattr(wandb, "init", lambda **given: options.update(given) or run)
    logger = WandbLogger(**SETTINGS | {"log_model": False})
    info = make_run(tmp_path)
    logger.start(info)
    for row in ROWS:
        logger.metrics(row)
    return SimpleNamespace(run=run, options=options, logger=logger, info=info)


def test_a_resumed_run_gets_only_the_lines_it_lacks(stand_in):
    assert stand_in.options["mode"] == "online"
    assert stand_in.options["resume"] == "allow"
    assert stand_in.run.steps == [20, 25]


def test_an_online_run_consumes_what_its_model_was_made_from_and_survives_a_lost_connection(stand_in, capsys):
    stand_in.logger.finish(RECORD)
    assert [artifact.type for artifact in stand_in.run.logged] == ["scores", "order", "model"]
    assert stand_in.run.aliases == [["latest", "0123456789abcdef"]] * 3  # by which a study finds them
    assert stand_in.run.consumed == ["scores"]
    said = "order-stdlib-perplexity-top_r-folding is not shown as consumed: connection lost"
    assert said in " ".join(capsys.readouterr().err.split())
    assert stand_in.run.exit_code == 0


def test_a_model_that_is_not_uploaded_stays_in_the_lineage_as_a_reference(stand_in):
    stand_in.logger.finish(RECORD)
    references = [entry.ref for entry in stand_in.run.logged[-1].manifest.entries.values()]
    folder = (stand_in.info.folder / "model").as_uri()
    assert sorted(references) == [f"{folder}/config.json", f"{folder}/model.safetensors"]


def test_a_run_that_cannot_be_completed_is_closed_as_failed(stand_in):
    (stand_in.info.folder / "order.parquet").unlink()
    with pytest.raises(FileNotFoundError):
        stand_in.logger.finish(RECORD)
    assert stand_in.run.exit_code == 1


def test_a_study_resumes_its_own_run_and_consumes_the_models_it_compares(stand_in, tmp_path):
    study = make_study(tmp_path)
    stand_in.logger.log_study(study)
    expected = {"id": study.id, "name": "night", "group": "night", "job_type": "study", "resume": "allow"}
    assert {key: stand_in.options[key] for key in expected} == expected
    assert stand_in.run.consumed == ["model-stdlib-perplexity-top_r-folding-tiny:0123456789abcdef"]
    assert stand_in.run.exit_code == 0


def test_a_study_that_cannot_be_logged_whole_is_closed_as_failed(stand_in, tmp_path):
    study = make_study(tmp_path)
    (study.folder / "tables" / "board.csv").unlink()
    with pytest.raises(ValueError, match=r"board\.csv"):
        stand_in.logger.log_study(study)
    assert stand_in.run.exit_code == 1


@pytest.mark.slow
def test_a_repeated_study_replaces_itself_on_disk(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path)
    study = make_study(tmp_path)
    for answer in ("Not yet.", "Yes."):
        study = replace(study, findings=replace(study.findings, answer=answer))
        WandbLogger(**SETTINGS).log_study(study)
    wandb.teardown()
    assert read_offline_run(study.folder).summary["answer"] == "Yes."
