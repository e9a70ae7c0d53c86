"""The examples for several nodes: their syntax, their commands, and that workers and run agree with each other."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from torch.distributed.run import parse_args

from delt_exp.cli.check import check_command
from delt_exp.config.build import CONF

PAGE = (CONF.parent / "docs" / "howto" / "cluster.md").read_text()
KUBERNETES, SKYPILOT = (
    list(yaml.safe_load_all(block)) for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.M | re.S)
)
SKYPILOT_SETS = {"$SKYPILOT_NUM_NODES": "2", "$SKYPILOT_NUM_GPUS_PER_NODE": "8"}


def kubernetes_pod():
    return KUBERNETES[1]["spec"]["template"]["spec"]


def kubernetes_script():
    return kubernetes_pod()["containers"][0]["args"][0]


def script(name):
    """The shell script of an example, which starts workers and a run."""
    shell = re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.M | re.S)
    run = next(b for b in re.findall(r"^```bash\n(.*?)^```", PAGE, flags=re.M | re.S) if "trainer.jobs_dir" in b)
    by_ssh = next(block for block in shell if "ssh $host" in block) + run  # "and the run as above"
    return {"kubernetes": kubernetes_script(), "skypilot": SKYPILOT[0]["run"], "ssh": by_ssh}[name]


def words_after(program, text):
    """The words of the first command in `text` that begins with `program`."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"\$\(.*?\)", "HOST", text))
    command = re.search(rf"{program} (.*?)(\"? &$| \|\| |$)", text, flags=re.M)[1]
    for name, value in SKYPILOT_SETS.items():
        command = command.replace(name, value)
    return shlex.split(command)


@pytest.mark.parametrize("name", ["kubernetes", "skypilot", "ssh"])
def test_workers_and_run_of_an_example_agree(name):
    text = script(name)
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    worker, overrides = parse_args(words_after("torchrun", text)), words_after("python run.py", text)
    check_command(CONF, overrides)
    settings = dict(word.split("=", 1) for word in overrides)
    assert (worker.module, worker.training_script) == (True, "delt_exp.worker")
    assert worker.training_script_args == [settings["trainer.jobs_dir"]]
    assert (worker.nnodes, worker.nproc_per_node) == (settings["trainer.num_nodes"], settings["trainer.devices"])
    assert worker.rdzv_backend == "c10d"
    assert worker.rdzv_endpoint.endswith(":29500")


def test_pods_of_the_kubernetes_example_find_each_other_and_share_their_folder():
    service, job = KUBERNETES
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert kubernetes_pod()["subdomain"] == service["metadata"]["name"]
    assert f"{job['metadata']['name']}-0.{service['metadata']['name']}:" in kubernetes_script()
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 2
    (container,) = kubernetes_pod()["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {v["name"] for v in kubernetes_pod()["volumes"]}
    assert (
        str(container["resources"]["limits"]["nvidia.com/gpu"]) in words_after("python run.py", kubernetes_script())[2]
    )
    assert Path(container["workingDir"]).is_relative_to("/shared")


def test_nodes_of_the_skypilot_example_share_a_folder_and_have_the_gpus_they_use():
    (task,) = SKYPILOT
    settings = dict(word.split("=", 1) for word in words_after("python run.py", task["run"]))
    assert str(task["num_nodes"]) == settings["trainer.num_nodes"]
    assert task["resources"]["accelerators"].endswith(f":{settings['trainer.devices']}")
    assert all(settings[key].startswith("/shared") for key in ("trainer.jobs_dir", "output_dir"))
    assert list(task["volumes"]) == ["/shared"]
