"""What every logger promises; a new YAML in conf/logger is met here without a change."""

import threading
from pathlib import Path

import hydra
import pytest

from delt_exp.config.build import build
from delt_exp.logger.base import StudyLogger
from delt_exp.pretrained.loading import check_models
from tests.logger.run_folder import RECORD, ROWS, make_run, make_study

CONF = Path(__file__).parents[2] / "conf"
NAMES = sorted(path.stem for path in (CONF / "logger").glob("*.yaml") if path.stem != "none")
NEEDS = {"tensorboard": "tensorboard"}
SETTINGS = {"wandb": ["logger.wandb.mode=disabled"]}


def compose(*names, overrides=()):
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(overrides=[f"+logger=[{','.join(names)}]", *overrides]).logger


@pytest.fixture(params=NAMES)
def logger(request):
    if request.param in NEEDS:
        pytest.importorskip(NEEDS[request.param], reason=f"the extra {request.param} is not installed")
    return build(compose(request.param, overrides=SETTINGS.get(request.param, ()))[request.param])


def test_there_are_loggers_to_check():
    assert {"tensorboard", "wandb"} <= set(NAMES)


def test_none_is_no_logger():
    assert compose("none") == {}


def test_loggers_combine_in_a_list():
    assert list(compose(*NAMES)) == NAMES


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_runs_in_a_row_with_lines_from_another_thread_leave_the_run_folder_as_it_was(logger, tmp_path):
    for name in ("one", "two"):
        run = make_run(tmp_path, name, name)
        before = contents(run.folder)
        logger.start(run)
        sender = threading.Thread(target=lambda: [logger.metrics(row) for row in ROWS])
        sender.start()
        sender.join()
        logger.finish(RECORD)
        assert before.items() <= contents(run.folder).items()


def test_a_logger_that_takes_studies_takes_one_twice_and_leaves_its_folder_as_it_was(logger, tmp_path):
    if not isinstance(logger, StudyLogger):
        pytest.skip("what it would write, the folder of a study has already")
    study = make_study(tmp_path)
    before = contents(study.folder)
    for _ in range(2):
        logger.log_study(study)
        assert before.items() <= contents(study.folder).items()


def test_a_logger_that_was_not_started_can_be_looked_at_by_a_dry_run(logger):
    assert check_models(logger, fetch=False) == []


def test_an_abandoned_run_can_be_started_again(logger, tmp_path):
    run = make_run(tmp_path)
    logger.start(run)
    logger.metrics(ROWS[0])
    logger.abandon()
    logger.start(run)
    logger.finish(RECORD)
    assert (run.folder / "record.json").exists()
