"""The runs of a study at once: as processes of this machine, as Slurm jobs, each of one process or of several."""

import os
import stat
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from joblib import cpu_count
from safetensors.numpy import load_file

from delt_exp.cli import check as cli_check
from delt_exp.cli.check import check_command
from delt_exp.cli.main import main
from delt_exp.config.build import CONF
from delt_exp.config.run_name import register_resolvers
from delt_exp.errors import ConfigError, DependencyError
from delt_exp.study.record import read_study
from tests.runs import FAST, records, write_texts
from tests.study.small_study import result, run_study, times_computed, write_study_texts

pytestmark = pytest.mark.slow

TOKENS = "training.max_tokens=512"
BROKEN = "{broken: ['scorer=kenlm', 'scorer.model_path=nowhere.arpa']}"

# Slurm of one machine: a job runs here, one array task after the other, with the variables that Slurm gives it.
SBATCH = """\
#!/bin/bash
cp "$1" "$SLURM_STAND_IN/submitted.sh"
field() { sed -n "s/^#SBATCH --$1=//p" "$SLURM_STAND_IN/submitted.sh"; }
export SLURM_JOB_ID=71 SLURM_JOB_NAME=$(field job-name) SLURM_JOB_NUM_NODES=$(field nodes) SLURM_NTASKS=$(field nodes)
array=$(field array)
last=${array#0-}
{
  if [ -z "$array" ]; then bash "$1"; else
    for task in $(seq 0 ${last%\\%*}); do SLURM_ARRAY_JOB_ID=71 SLURM_ARRAY_TASK_ID=$task bash "$1"; done
  fi
} > "$SLURM_STAND_IN/log" 2>&1 &
echo "Submitted batch job 71"
"""
SRUN = """\
#!/bin/bash
while [[ $1 == -* ]]; do
  case $1 in --ntasks=*) SLURM_NTASKS=${1#*=};; --output | --error) shift;; esac
  shift
done
for ((rank = 0; rank < SLURM_NTASKS; rank++)); do
  echo "job ${SLURM_ARRAY_TASK_ID:-alone} rank $rank of $SLURM_NTASKS" >> "$SLURM_STAND_IN/processes"
  SLURM_PROCID=$rank SLURM_LOCALID=0 SLURM_NODEID=$rank SLURM_NTASKS_PER_NODE=1 "$@" &
done
wait
"""


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return write_study_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def one_by_one(texts, tmp_path_factory):
    """The study, its runs one after the other in this process."""
    return run_study(texts, tmp_path_factory.mktemp("one_by_one"), TOKENS, scorers="[random, length]")


@pytest.fixture(scope="module")
def at_once(texts, tmp_path_factory):
    """The same study, its runs at once in two processes, and with a run that fails."""
    output = tmp_path_factory.mktemp("at_once")
    with pytest.raises(SystemExit) as status:
        run_study(texts, output, TOKENS, "hydra/launcher=parallel", scorers=f"[random, {BROKEN}, length]")
    assert status.value.code == 1
    return read_study(output / "order_only")[0]


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A folder of stand-ins for Slurm's commands, on the PATH; `submitted.sh` is the last script handed to sbatch."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, script in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", "#!/bin/bash\n")):
        (folder / name).write_text(script)
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_STAND_IN", str(folder))
    return folder


def launch(function, jobs, *overrides):
    """Return what `function(cfg)` returns in each job, by the launcher of a sweep with these overrides."""
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        config = hydra.compose_config("config", list(overrides), RunMode.MULTIRUN)
        context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(config))
        launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=function, config=config)
        return [job.return_value for job in launcher.launch(jobs, initial_job_idx=0)]


def num_threads(_):
    import torch

    return torch.get_num_threads()


def seed(cfg):
    return cfg.seed


def test_runs_at_once_find_what_runs_one_by_one_find(one_by_one, at_once):
    assert [run.arm for run in at_once.finished()] == [run.arm for run in one_by_one.runs]
    for run, other in zip(at_once.finished(), one_by_one.runs, strict=True):
        assert Path(run.folder).name == Path(other.folder).name
        assert result(run) == result(other)


def test_runs_at_once_compute_each_stage_once(at_once):
    counts = times_computed(at_once)
    stages = {"corpus", "overlap", "tokenizer", "tokens", "scores", "model", "evaluation", "references"}
    assert {name.split("/")[0] for name in counts} == stages
    assert set(counts.values()) == {1}


def test_a_failed_run_does_not_stop_those_beside_it_and_is_listed(at_once):
    (failed,) = at_once.failed()
    assert failed.arm["scorer"] == "broken"
    assert "nowhere.arpa" in failed.error
    assert len(at_once.finished()) == 3
    assert "nowhere.arpa" in (at_once.folder / "report.html").read_text()


def test_each_of_several_runs_computes_with_its_share_of_the_cores(tmp_path, monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    jobs = [["seed=0"], ["seed=1"]]
    threads = launch(num_threads, jobs, "hydra/launcher=parallel", f"output_dir={tmp_path}")
    assert threads == [max(cpu_count() // 2, 1)] * 2


def test_a_study_of_runs_of_two_processes_is_one_sweep_and_trains_the_same_models(one_by_one, texts, tmp_path):
    study = run_study(texts, tmp_path / "out", TOKENS, "trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]  # no rank swept again elsewhere
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["order_only", "runs", "store"]
    assert len(list((tmp_path / "out" / "runs").iterdir())) == len(study.finished()) == 2
    for run, single in zip(study.runs, one_by_one.runs, strict=False):
        assert Path(run.folder).name == Path(single.folder).name
        assert run.record()["training"]["world_size"] == 2
        model, expected = (load_file(Path(r.folder) / "model" / "model.safetensors") for r in (run, single))
        for name, values in expected.items():
            assert model[name] == pytest.approx(values, abs=1e-5)


@pytest.mark.parametrize(("launcher", "nodes"), [("slurm", 1), ("slurm_nodes", 2)])
def test_each_run_is_one_process_of_a_slurm_job_with_the_gpus_of_its_training(launcher, nodes, slurm, tmp_path):
    overrides = (f"hydra/launcher={launcher}", f"output_dir={tmp_path}/out", "hydra.launcher.partition=gpu")
    trainer = ("trainer=ddp", "trainer.devices=4", f"trainer.num_nodes={nodes}")
    assert launch(seed, [["seed=5"], ["seed=6"]], *overrides, *trainer) == [5, 6]
    script = (slurm / "submitted.sh").read_text()
    for line in (f"nodes={nodes}", "ntasks-per-node=1", "gpus-per-node=4", "array=0-1%2", "requeue", "partition=gpu"):
        assert f"#SBATCH --{line}\n" in script
    assert f"#SBATCH --output={tmp_path}/out/submitit/" in script
    assert (slurm / "processes").read_text().splitlines() == ["job 0 rank 0 of 1", "job 1 rank 0 of 1"]


def test_a_sweep_runs_as_a_job_of_submitit(tmp_path):
    write_texts(tmp_path)
    small = [text for text in FAST if not text.startswith("scorer.")]
    small += ["-m", "scorer=length", "training.epochs=null", "training.max_tokens=256", "seed=7"]
    with patch.object(sys, "argv", ["run.py", *small, "hydra/launcher=submitit_local"]):
        main()
    (record,) = records()
    assert (record["seed"], record["order_verified"]) == (7, True)
    assert (tmp_path / "outputs" / "runs" / record["name"] / "report.html").exists()


def test_a_wrong_launcher_names_the_right_ones():
    with pytest.raises(ConfigError, match=r"no option 'paralel', did you mean 'parallel'\?; options: basic, joblib"):
        check_command(CONF, ["-m", "hydra/launcher=paralel"])


@pytest.mark.parametrize("launcher", ["parallel", "joblib", "slurm", "slurm_nodes", "submitit_local"])
def test_a_launcher_whose_package_is_missing_names_the_extra(launcher, monkeypatch):
    monkeypatch.setattr(cli_check, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r'delt-exp\[cluster\]"'):
        check_command(CONF, ["-m", f"hydra/launcher={launcher}"])


@pytest.mark.parametrize(("launcher", "package"), [("parallel", "joblib"), ("slurm", "submitit")])
def test_a_launcher_whose_plugin_is_there_without_its_package_names_the_package(launcher, package, monkeypatch):
    monkeypatch.setattr(cli_check, "find_spec", lambda name: None if name == package else object())
    with pytest.raises(DependencyError, match=rf"{launcher} needs the package {package}, which .*delt-exp\[cluster\]"):
        check_command(CONF, ["-m", f"hydra/launcher={launcher}"])


def test_a_launcher_is_refused_where_there_is_only_one_run():
    with pytest.raises(ConfigError, match="for a single run, or add -m"):
        check_command(CONF, ["hydra/launcher=parallel"])
    check_command(CONF, ["-m", "hydra/launcher=parallel", "hydra.launcher.n_jobs=3"])
    check_command(CONF, ["study=detection", "hydra/launcher=slurm"])
