"""Several nodes: one job step runs the ranks, and the caller stays the only process of its run.

A stand-in for `srun` starts the tasks of every "node" on this machine, with the variables and options that matter here.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from delt_exp.data_scorer import processes as data_scorer_processes
from delt_exp.distributed import nodes
from delt_exp.distributed.processes import run_in_processes
from delt_exp.errors import ConfigError, DeltError
from delt_exp.files import read_json
from delt_exp.scorer.lqs import job as lqs_processes
from tests.distributed.node_ranks import environment, fail_on_rank_1, sum_of_ranks
from tests.helpers import RUNTIME, TRAINER, make_pool, new_folder, words
from tests.trainer.test_train import job_of, losses, trained, weights

SRUN = """#!{python}
import os, pathlib, signal, socket, subprocess, sys, time

start = next(i for i, word in enumerate(sys.argv[1:], 1) if not word.startswith("--"))
options = dict(word.removeprefix("--").partition("=")[::2] for word in sys.argv[1:start])
assert options["ntasks"] == options["nodes"] and options["ntasks-per-node"] == "1" and "overlap" in options, options
socket.create_connection(("127.0.0.1", int(sys.argv[-1]))).close()  # a stranger, whom the caller must not mind
tasks = []
for node in range(int(options["nodes"])):
    if "HIDDEN_FROM_NODE_1" in os.environ and node == 1:
        for token in pathlib.Path(os.environ["HIDDEN_FROM_NODE_1"]).glob(".seen-*"):
            token.unlink()
    own = {{"SLURM_NODEID": node, "SLURM_PROCID": node, "SLURM_LOCALID": 0, "SLURM_LAUNCH_NODE_IPADDR": "127.0.0.1"}}
    environment = os.environ | {{name: str(value) for name, value in own.items()}}
    tasks.append(subprocess.Popen(sys.argv[start:], env=environment, stdin=subprocess.DEVNULL))
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


def test_training_on_two_nodes_is_the_training_of_one_process(pool, tmp_path, allocation):
    single = trained(tmp_path, job_of(pool))
    several = trained(tmp_path, job_of(pool, strategy="fsdp", devices=1, num_nodes=2, micro_batch_items=1))
    result = read_json(several / "result.json")
    assert (result["world_size"], result["order_verified"]) == (2, True)
    np.testing.assert_allclose(losses(several), losses(single), rtol=1e-5)
    for name, value in weights(single).items():
        np.testing.assert_allclose(weights(several)[name], value, rtol=1e-3, atol=1e-5)
    assert not list(several.glob(".*"))


def test_the_ranks_of_all_nodes_are_one_group_and_rank_0_answers(tmp_path, allocation):
    assert run_in_processes(sum_of_ranks, (), 2, 2, tmp_path) == (4, 1 + 2 + 3 + 4, True)


def test_annotation_and_inference_run_on_every_node(tmp_path, monkeypatch):
    """Neither looks at what it works on before its ranks do."""
    calls = []
    for module in (lqs_processes, data_scorer_processes):
        monkeypatch.setattr(module, "run_in_processes", lambda *call: calls.append(call[2:4]))
    tokens, runtime = SimpleNamespace(folder=tmp_path), RUNTIME
    lqs_processes.run_annotation(None, tmp_path / "state", 1, 2)
    data_scorer_processes.run_inference(None, tmp_path, tokens, runtime, tmp_path / "shards", 4, 3)
    assert calls == [(1, 2), (4, 3)]


def test_a_failing_rank_ends_all_nodes_with_its_message(tmp_path, allocation):
    with pytest.raises(DeltError, match="process 1 of 2 failed: DeltError: no such luck"):
        run_in_processes(fail_on_rank_1, (), 1, 2, tmp_path)
    assert not any(Path(f"/proc/{pid}").exists() for pid in allocation.read_text().split())


def test_a_folder_that_a_node_does_not_see_is_named(tmp_path, allocation, monkeypatch):
    monkeypatch.setattr(nodes, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setenv("HIDDEN_FROM_NODE_1", str(tmp_path))
    with pytest.raises(DeltError, match=f"does not see {tmp_path}; .* all nodes share: output_dir=FOLDER"):
        run_in_processes(fail_on_rank_1, (), 1, 2, tmp_path)


def test_a_job_step_that_does_not_start_is_an_error(tmp_path, allocation):
    srun = allocation.parent / "srun"
    srun.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(DeltError, match="srun ended with status 3"):
        run_in_processes(fail_on_rank_1, (), 1, 2, tmp_path)


CALLER = """
import sys
from pathlib import Path
from delt_exp.distributed.processes import run_in_processes
from tests.distributed.node_ranks import wait_for_ever
if __name__ == "__main__":
    folder, devices, num_nodes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    run_in_processes(wait_for_ever, (folder,), devices, num_nodes, folder)
"""


@pytest.mark.parametrize(("devices", "num_nodes"), [(2, 1), (1, 2)])
def test_nothing_runs_on_when_the_caller_is_killed(tmp_path, allocation, devices, num_nodes):
    (tmp_path / "caller.py").write_text(CALLER)
    command = [sys.executable, str(tmp_path / "caller.py"), str(tmp_path), str(devices), str(num_nodes)]
    process = subprocess.Popen(command)
    while len(pids := list(tmp_path.glob("rank-*"))) < 2 or not all(path.read_text() for path in pids):
        assert process.poll() is None
        time.sleep(0.05)
    agents = allocation.read_text().split() if num_nodes > 1 else []
    running = [*agents, *(path.read_text() for path in pids)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in running):
        time.sleep(0.05)


def test_ranks_have_the_environment_of_the_caller_at_every_launch(tmp_path, monkeypatch):
    seen = []
    for value in ("first", "second"):
        monkeypatch.setenv("OF_THE_CALLER", value)
        seen.append(run_in_processes(environment, (), 1, 1, tmp_path))
    monkeypatch.delenv("OF_THE_CALLER")
    seen.append(run_in_processes(environment, (), 1, 1, tmp_path))
    assert seen == [("first", "0"), ("second", "0"), (None, "0")]


def test_several_nodes_without_an_allocation_are_refused(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(ConfigError, match=r"num_nodes=2 needs a Slurm allocation.*sbatch --nodes=2"):
        replace(TRAINER, strategy="ddp", num_nodes=2).check_available()


def test_more_nodes_than_the_allocation_has_are_refused(allocation):
    with pytest.raises(ConfigError, match=r"num_nodes=3, but this Slurm allocation has 2 nodes"):
        replace(TRAINER, strategy="ddp", num_nodes=3).check_available()


def test_several_nodes_for_one_process_are_refused():
    with pytest.raises(ConfigError, match="num_nodes is 2; several need trainer=ddp or trainer=fsdp"):
        replace(TRAINER, num_nodes=2)
