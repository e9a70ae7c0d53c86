"""Several nodes: jobs in a shared folder, ranks that torchrun starts, a caller that stays the one process of its run.

A "node" is a torchrun of its own on this machine. A stand-in for `srun` starts one for each node, with the options and
variables that matter here; without Slurm the tests start them, as users do.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from delt_exp.distributed import handover, job, nodes
from delt_exp.distributed.handover import Handover, Run, report_failure, run_of
from delt_exp.distributed.processes import launch, run_in_processes
from delt_exp.errors import ConfigError, DeltError, StoreError
from delt_exp.files import read_json
from delt_exp.trainer.train import train
from tests.distributed.node_ranks import environment, fail_on_rank_1, sum_of_ranks
from tests.helpers import TRAINER, make_pool, new_folder, wait_until, words
from tests.scorer.lqs.test_scorer import RIDGE, distilled, fresh_pool
from tests.trainer.test_train import job_of, losses, trained, weights

pytestmark = pytest.mark.slow

TWO_NODES = SimpleNamespace(devices=1, num_nodes=2, jobs_dir=None)

SRUN = """#!{python}
import os, pathlib, signal, subprocess, sys, time

start = next(i for i, word in enumerate(sys.argv[1:], 1) if not word.startswith("--"))
options = dict(word.removeprefix("--").partition("=")[::2] for word in sys.argv[1:start])
assert options["ntasks"] == options["nodes"] and options["ntasks-per-node"] == "1" and "overlap" in options, options
command = [word.replace("delt_exp.worker", "tests.distributed.worker") for word in sys.argv[start:]]
tasks = []
for node in range(int(options["nodes"])):
    environment = os.environ | {{"SLURM_NODEID": str(node), "SLURM_PROCID": str(node), "SLURM_LOCALID": "0"}}
    tasks.append(subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL))
pathlib.Path("{pids}").write_text(" ".join(str(task.pid) for task in tasks))

def end(*_):
    for task in tasks:
        task.terminate()

signal.signal(signal.SIGTERM, end)
while any(task.poll() is None for task in tasks):
    if any(task.poll() for task in tasks):  # --kill-on-bad-exit
        time.sleep(1)
        end()
        break
    time.sleep(0.05)
sys.exit(max(abs(task.wait()) for task in tasks))
"""


@pytest.fixture(autouse=True)
def functions_of_tests_may_be_named(monkeypatch):
    monkeypatch.setattr(job, "PACKAGES", ("delt_exp.", "tests."))


@pytest.fixture
def allocation(tmp_path, monkeypatch):
    """An allocation of two nodes, as a batch script sees it; returns the file with the ids of the last step's tasks."""
    folder = new_folder(tmp_path)
    pids = folder / "pids"
    (folder / "srun").write_text(SRUN.format(python=sys.executable, pids=pids))
    (folder / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    for name, value in {"JOB_ID": 7, "JOB_NUM_NODES": 2, "NNODES": 2, "NTASKS": 2, "JOB_NAME": "study"}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    return pids


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return make_pool(tmp_path_factory.mktemp("nodes"), words(20))


def is_running(pid):
    return Path(f"/proc/{pid}").exists()


def test_training_on_two_nodes_is_the_training_of_one_process(pool, tmp_path, allocation):
    single = trained(tmp_path, job_of(pool))
    several = trained(tmp_path, job_of(pool, strategy="fsdp", devices=2, num_nodes=2, micro_batch_items=1))
    result = read_json(several / "result.json")
    assert (result["world_size"], result["order_verified"]) == (4, True)
    np.testing.assert_allclose(losses(several), losses(single), rtol=1e-5)
    for name, value in weights(single).items():
        np.testing.assert_allclose(weights(several)[name], value, rtol=1e-3, atol=1e-5)
    assert {path.name for path in several.iterdir()} == {path.name for path in single.iterdir()}


def start_workers(jobs_dir, num_nodes):
    """Start a torchrun for each node by the documented command."""
    with socket.socket() as free:
        free.bind(("", 0))
        endpoint = f"--rdzv-endpoint=localhost:{free.getsockname()[1]}"
    command = [*nodes.torchrun(1, num_nodes), endpoint, "-m", "tests.distributed.worker", str(jobs_dir)]
    return [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(num_nodes)]


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """What one run makes by the workers of two nodes, which wait for it: the last of its jobs fails."""
    folder = tmp_path_factory.mktemp("workers")
    spread = replace(TRAINER, strategy="ddp", num_nodes=2, jobs_dir=str(folder / "jobs"))
    workers = start_workers(folder / "jobs", 2)
    pool = fresh_pool(folder / "pool")
    pool = replace(pool, resources=replace(pool.resources, trainer=spread))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "PACKAGES", ("delt_exp.", "tests."))
        run_in_processes(sum_of_ranks, (folder / "sum",), spread, folder)
        scores = distilled(16, RIDGE).score(pool)
        fsdp = job_of(pool, strategy="fsdp", num_nodes=2, jobs_dir=spread.jobs_dir, micro_batch_items=1)
        train(fsdp, new_folder(folder / "model"))
        with pytest.raises(DeltError) as failure:
            run_in_processes(fail_on_rank_1, (), spread, folder)
    statuses = [worker.wait() for worker in workers]
    return SimpleNamespace(folder=folder, pool=pool, scores=scores, failure=str(failure.value), statuses=statuses)


def test_workers_of_all_nodes_are_one_group(played):
    assert (played.folder / "sum").read_text() == f"2 {1 + 2}"


def test_proxy_annotation_and_inference_of_two_nodes_give_the_scores_of_one_process(played, tmp_path):
    alone = distilled(16, RIDGE).score(fresh_pool(tmp_path))
    np.testing.assert_allclose(played.scores, alone, rtol=1e-3, atol=1e-6)


def test_workers_train_one_model_after_the_other(played, tmp_path):
    (several,) = (played.folder / "model").iterdir()
    result = read_json(several / "result.json")
    assert (result["world_size"], result["order_verified"]) == (2, True)
    single = trained(tmp_path, job_of(played.pool))
    np.testing.assert_allclose(losses(several), losses(single), rtol=1e-5)


def test_a_failing_worker_gives_its_message_and_ends_the_others(played):
    assert played.failure == "process 1 of 2 failed: DeltError: no such luck"
    assert all(played.statuses)


def test_a_failing_rank_ends_the_job_step_with_its_message(tmp_path, allocation):
    with pytest.raises(DeltError, match="process 1 of 2 failed: DeltError: no such luck"):
        run_in_processes(fail_on_rank_1, (), TWO_NODES, tmp_path)
    assert not any(map(is_running, allocation.read_text().split()))
    assert not (tmp_path / "job").exists()


def test_a_job_step_that_does_not_start_is_an_error(tmp_path, allocation):
    srun = allocation.parent / "srun"
    srun.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(DeltError, match="srun ended with status 3"):
        run_in_processes(fail_on_rank_1, (), TWO_NODES, tmp_path)


CALLER = """
import sys
from pathlib import Path
from types import SimpleNamespace
from delt_exp.distributed import job
from delt_exp.distributed.processes import run_in_processes
from tests.distributed.node_ranks import wait_for_ever
if __name__ == "__main__":
    job.PACKAGES = ("delt_exp.", "tests.")
    folder, devices, num_nodes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    spread = SimpleNamespace(devices=devices, num_nodes=num_nodes, jobs_dir=None)
    run_in_processes(wait_for_ever, (folder,), spread, folder)
"""


@pytest.mark.parametrize(
    ("devices", "num_nodes", "number"), [(2, 1, signal.SIGKILL), (1, 2, signal.SIGKILL), (1, 2, signal.SIGINT)]
)
def test_nothing_runs_on_when_the_caller_ends(tmp_path, allocation, devices, num_nodes, number):
    (tmp_path / "caller.py").write_text(CALLER)
    command = [sys.executable, str(tmp_path / "caller.py"), str(tmp_path), str(devices), str(num_nodes)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while len(pids := list(tmp_path.glob("rank-*"))) < 2 or not all(path.read_text() for path in pids):
        assert process.poll() is None
        time.sleep(0.05)
    agents = allocation.read_text().split() if num_nodes > 1 else []
    running = [*agents, *(path.read_text() for path in pids)]
    process.send_signal(number)
    process.wait(timeout=60)
    wait_until(lambda: not any(map(is_running, running)))


def test_ranks_have_the_environment_of_the_caller_at_every_launch(monkeypatch):
    seen = []
    for value in ("first", "second"):
        monkeypatch.setenv("OF_THE_CALLER", value)
        seen.append(launch(environment, (), 1)[0])
    monkeypatch.delenv("OF_THE_CALLER")
    seen.append(launch(environment, (), 1)[0])
    assert seen == [("first", "0"), ("second", "0"), (None, "0")]


def test_a_job_that_a_node_does_not_see_is_named_with_the_cure(tmp_path, monkeypatch):
    monkeypatch.setattr(handover, "PATIENCE_SECONDS", 0.1)
    with pytest.raises(
        StoreError, match=f"does not see {tmp_path}/1/job.json; .* all of them share: output_dir=FOLDER"
    ):
        run_of(tmp_path / "1" / "job.json")


def test_a_lock_that_is_not_seen_on_a_node_is_named_with_the_cure(tmp_path, monkeypatch):
    giver = Handover(tmp_path / "run", 2)
    run = run_of(giver.write(sum_of_ranks, tmp_path))
    run.check(2)
    monkeypatch.setattr(handover, "is_locked", lambda file: False)  # as where locks stay on one node
    with pytest.raises(StoreError, match=r"has ended, or its file lock is not seen .*Lustre: -o flock"):
        run.check(2)


def test_another_number_of_processes_is_refused(tmp_path):
    giver = Handover(tmp_path / "run", 4)
    run = run_of(giver.write(sum_of_ranks, tmp_path))
    with pytest.raises(ConfigError, match="torchrun started 2 processes, but the run has 4"):
        run.check(2)


def test_workers_end_when_their_run_does_and_not_before(tmp_path):
    for number, ends_well in enumerate((True, False)):
        giver = Handover(tmp_path / str(number), 1)
        jobs = [giver.write(sum_of_ranks, tmp_path / name) for name in "ab"]
        found = Run(giver.folder).jobs()
        assert [next(found), next(found)] == jobs
        (giver.finish if ends_well else giver.close)()
        if ends_well:
            assert list(found) == []
        else:
            with pytest.raises(DeltError, match="failed or was killed"):
                next(found)


def test_a_worker_that_is_killed_ends_the_run(tmp_path):
    giver = Handover(tmp_path / "run", 1)
    handover.hold(giver.folder / "rank-0").close()  # as the kernel does
    with pytest.raises(DeltError, match="process 0 of 1 ended without a message"):
        giver.wait(giver.write(sum_of_ranks, tmp_path))


def test_the_first_failure_is_the_one_that_is_told(tmp_path):
    file = Handover(tmp_path / "run", 2).write(sum_of_ranks, tmp_path)
    report_failure(file, "out of memory")
    report_failure(file, "connection closed by peer")
    with pytest.raises(DeltError, match=r"^out of memory$"):
        handover.raise_failure(file)


def test_a_folder_of_jobs_serves_one_run_at_a_time(tmp_path):
    dead = Handover(tmp_path / "run-dead", 2)
    dead._held.close()
    trainer = replace(TRAINER, strategy="ddp", num_nodes=2, jobs_dir=str(tmp_path))
    trainer.check_available()
    assert not dead.folder.exists()
    nodes._handover.cache_clear()  # as in another process
    with pytest.raises(ConfigError, match=f"trainer.jobs_dir={tmp_path} serves another run"):
        trainer.check_available()


def test_several_nodes_without_an_allocation_are_refused(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(ConfigError, match=r"num_nodes=2 needs a Slurm allocation.*sbatch --nodes=2.*trainer\.jobs_dir"):
        replace(TRAINER, strategy="ddp", num_nodes=2).check_available()


def test_more_nodes_than_the_allocation_has_are_refused(allocation):
    with pytest.raises(ConfigError, match=r"num_nodes=3, but this Slurm allocation has 2 nodes"):
        replace(TRAINER, strategy="ddp", num_nodes=3).check_available()


def test_several_nodes_or_workers_for_one_process_are_refused():
    with pytest.raises(ConfigError, match="num_nodes is 2; several need trainer=ddp or trainer=fsdp"):
        replace(TRAINER, num_nodes=2)
    with pytest.raises(ConfigError, match="jobs_dir is /jobs; workers need trainer=ddp or trainer=fsdp"):
        replace(TRAINER, jobs_dir="/jobs")
