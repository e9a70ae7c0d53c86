"""What lies on disk is synced by one command of W&B's own, and a run that was killed and repeated is one run of it."""

import glob
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import wandb
from click.testing import CliRunner
from wandb.cli.cli import cli

from delt_exp.trainer.metrics_file import MetricsFile
from tests.logger.wandb.reader import read_offline_run
from tests.logger.wandb.test_logger import isolate
from tests.runs import FAST, command, records, write_texts

ROOT = Path(__file__).parents[3]


def documented_sync():
    """Return the words of the page's command, its globs filled in as a shell does."""
    (line,) = re.findall(r"^wandb (sync .*)$", (ROOT / "docs/howto/wandb.md").read_text(), flags=re.M)
    return [path for word in shlex.split(line) for path in (sorted(glob.glob(word)) or [word])]


def test_the_documented_command_finds_every_run_that_is_not_synced_and_the_study(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path)
    monkeypatch.setattr("wandb.errors.term._silent", False)  # it may be, from what ran before
    for place in ("runs/a", "runs/b", "runs/c", "detection"):
        attempt = tmp_path / f"outputs/{place}/wandb/offline-run-20260101_000000-{Path(place).name}"
        attempt.mkdir(parents=True)
        (attempt / f"run-{Path(place).name}.wandb").write_bytes(place.encode())
        (attempt.parent / "latest-run").symlink_to(attempt)
    (tmp_path / "outputs/runs/b/wandb/offline-run-20260101_000000-b/run-b.wandb.synced").touch()
    (tmp_path / "outputs/runs/never_logged").mkdir()
    monkeypatch.delenv("WANDB_SILENT")
    done = CliRunner().invoke(cli, [*documented_sync(), "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "Would sync 3 run(s)" in done.output
    assert "Skipped 1 synced run(s)" in done.output
    assert set(re.findall(r"(\w+)\.wandb", done.output)) == {"a", "c", "detection"}


@pytest.mark.slow
def test_a_run_that_is_killed_and_repeated_is_one_run_with_every_step_once(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path)
    write_texts(tmp_path)
    slow = [
        "scorer=length",
        "model.batch_items=1",
        "trainer.checkpoint_steps=10",
        "trainer.log_steps=1",
        "logger=wandb",
    ]
    small = [text for text in FAST if not text.startswith("scorer.")]
    process = subprocess.Popen([sys.executable, str(ROOT / "run.py"), *small, *slow], stdout=-1, stderr=-1)
    while not list(Path("outputs/store/model").glob("*.work/checkpoints/step-*.ckpt")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (killed,) = Path("outputs/runs").glob("*/wandb/offline-run-*")
    time.sleep(1.1)  # attempts are told apart by the second in which they began
    command(monkeypatch, *slow)
    wandb.teardown()
    (record,) = records()
    folder = Path("outputs/runs") / record["name"]
    found = read_offline_run(folder)  # the only one that is left
    assert not killed.exists()
    assert found.run.run_id == record["id"] == killed.name.split("-")[-1]
    steps = [row["train/step"] for row in found.history if "train/step" in row]
    assert steps == [row["step"] for row in MetricsFile(folder / "metrics.csv").rows()]
    assert steps == list(range(1, record["training"]["steps"] + 1))
    assert found.exit_code == 0
