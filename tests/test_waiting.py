"""Threads sleep while they wait for each other, in every process of a run; what the user has set stays."""

import os
import subprocess
import sys

import pytest

from delt_exp.distributed.processes import launch
from tests.distributed.node_ranks import how_threads_wait

pytestmark = pytest.mark.slow

# Importing torch is what reads the variable: it must be there before, and the package must not load torch first.
WHEN_TORCH_IS_LOADED = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("OMP_WAIT_POLICY"), flush=True)
            os._exit(0)
sys.meta_path.insert(0, Watch())
import {module}
import torch
"""
UNSET = {key: value for key, value in os.environ.items() if key not in ("OMP_WAIT_POLICY", "KMP_BLOCKTIME")}


def policy(module, environment):
    """Return what OMP_WAIT_POLICY was when a fresh process that imports `module` loaded torch."""
    command = [sys.executable, "-c", WHEN_TORCH_IS_LOADED.format(module=module)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split()[0]


ENTRIES = [
    "delt_exp.cli.main",
    "delt_exp.trainer.train",
    "delt_exp.worker",
    "hydra_plugins.delt_exp_sweeper, delt_exp.cli.main",
    "benchmarks.train_bare",
]


@pytest.mark.parametrize("module", ENTRIES)
def test_threads_are_told_to_sleep_before_torch_is_loaded(module):
    assert policy(module, UNSET) == "PASSIVE"


def test_what_the_user_has_set_stays():
    assert policy("delt_exp.cli.main", {**UNSET, "OMP_WAIT_POLICY": "ACTIVE"}) == "ACTIVE"


def test_ranks_inherit_it():
    assert launch(how_threads_wait, (), 2)[0] == os.environ["OMP_WAIT_POLICY"]
